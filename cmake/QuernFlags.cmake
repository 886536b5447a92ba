# SPDX-License-Identifier: MIT
# Language, warnings, hardening and sanitizers: the same for every target.

if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# RelWithDebInfo, the default, keeps assert(): it costs nothing that can be measured outside the kernels.
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_RELEASE "-O2 -DNDEBUG")

add_compile_definitions(_POSIX_C_SOURCE=200809L)
# No fused multiply-add unless the source says so: a file's bytes must not depend on the compiler's mood.
add_compile_options(-ffp-contract=off -fstack-protector-strong)
add_compile_options(-Wall -Wextra -Wshadow -Wconversion -Wvla -Wundef -Wmissing-prototypes -Wstrict-prototypes)
if(QN_WERROR)
    add_compile_options(-Werror)
endif()

include(CheckPIESupported)
check_pie_supported(LANGUAGES C)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

# Kernels are written for the optimiser; under sanitizers they would take minutes to compile with it. With less of it GCC
# takes what a loop's first turn sets for uninitialised.
set(QN_KERNEL_OPTIMISATION -O3)
if(QN_SANITIZE)
    set(QN_KERNEL_OPTIMISATION -O1 -Wno-maybe-uninitialized)
    add_compile_options(-fsanitize=${QN_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${QN_SANITIZE})
else()
    # _FORTIFY_SOURCE hides accesses from the sanitizers and needs optimisation.
    add_compile_options("$<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=2>")
endif()
if(QN_FUZZ)
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
    add_link_options(-Wl,-z,relro,-z,now -Wl,--as-needed)
endif()
