# SPDX-License-Identifier: MIT
# The few functions that the CMakeLists.txt of the folders are written in.

# qn_folder(<name> [GENERATED file...] [EXCEPT regex])
# The target qn_<name>: all .c files of the calling folder that do not match. A folder without sources is left out.
function(qn_folder name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "EXCEPT" "GENERATED")
    file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.c")
    if(arg_EXCEPT)
        list(FILTER sources EXCLUDE REGEX "${arg_EXCEPT}")
    endif()
    if(NOT sources AND NOT arg_GENERATED)
        return()
    endif()
    add_library(qn_${name} OBJECT ${sources} ${arg_GENERATED})
    target_link_libraries(qn_${name} PRIVATE qn_dependencies)
endfunction()

# qn_protobuf(<out-var> <file.proto>)
# C code for a schema of the calling folder, included as "<folder>/<file>.pb-c.h".
function(qn_protobuf out_var proto)
    get_filename_component(stem "${proto}" NAME_WE)
    file(RELATIVE_PATH folder "${CMAKE_SOURCE_DIR}/src" "${CMAKE_CURRENT_SOURCE_DIR}")
    set(base "${CMAKE_BINARY_DIR}/src/${folder}/${stem}.pb-c")
    add_custom_command(
        OUTPUT "${base}.c" "${base}.h"
        COMMAND "${PROTOC_C}" "--proto_path=${CMAKE_SOURCE_DIR}/src" "--c_out=${CMAKE_BINARY_DIR}/src"
                "${CMAKE_CURRENT_SOURCE_DIR}/${proto}"
        DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${proto}"
        COMMENT "protoc-c ${folder}/${proto}"
        VERBATIM)
    # Generated code is not held to the house's warnings.
    set_source_files_properties("${base}.c" PROPERTIES COMPILE_OPTIONS "-w")
    set(${out_var} "${base}.c" "${base}.h" PARENT_SCOPE)
endfunction()
