# SPDX-License-Identifier: MIT
# The libraries that quern stands on, found through pkg-config. scripts/bootstrap installs them.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson>=2.13)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto>=3.0)
pkg_check_modules(PROTOBUF_C REQUIRED IMPORTED_TARGET libprotobuf-c)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(EDIT REQUIRED IMPORTED_TARGET libedit) # the program alone
find_program(PROTOC_C NAMES protoc-c REQUIRED)

add_library(qn_dependencies INTERFACE)
target_link_libraries(qn_dependencies INTERFACE
    PkgConfig::JANSSON PkgConfig::PCRE2 PkgConfig::CRYPTO PkgConfig::PROTOBUF_C PkgConfig::XXHASH
    PkgConfig::UTF8PROC Threads::Threads m)
# What quern.pc asks of those who link libquern.a.
set(QN_PC_REQUIRES_PRIVATE "jansson libpcre2-8 libcrypto libprotobuf-c libxxhash libutf8proc")
