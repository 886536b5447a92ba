# SPDX-License-Identifier: MIT
# How tests/CMakeLists.txt finds tests and registers them. A test that cannot run here exits with 77: skipped, visibly.

if(EXISTS "${CMAKE_SOURCE_DIR}/.venv/bin/python")
    set(QN_PYTHON "${CMAKE_SOURCE_DIR}/.venv/bin/python")
else()
    find_program(QN_PYTHON_PROGRAM NAMES python3 REQUIRED)
    set(QN_PYTHON "${QN_PYTHON_PROGRAM}")
endif()

set(QN_TEST_ENVIRONMENT
    "QUERN_BIN=${CMAKE_BINARY_DIR}/quern"
    "QUERN_SOURCE=${CMAKE_SOURCE_DIR}"
    "QUERN_BUILD=${CMAKE_BINARY_DIR}"
    "QUERN_FAULT_SHIM=${CMAKE_BINARY_DIR}/tests/libqnfault.so"
    "QUERN_LLAMA_LIBS=${CMAKE_SOURCE_DIR}/tests/peers/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64"
    "PYTHONDONTWRITEBYTECODE=1")

# qn_register(<name> <source> <label>...): labels, environment and limits of a test added by add_test().
function(qn_register name source)
    set(labels ${ARGN})
    file(STRINGS "${source}" head LIMIT_COUNT 5)
    if(head MATCHES "LABEL: full")
        list(APPEND labels full)
        set(timeout 7200)
    else()
        list(APPEND labels test)
        set(timeout 900)
    endif()
    set_tests_properties(${name} PROPERTIES
        LABELS "${labels}" SKIP_RETURN_CODE 77 TIMEOUT ${timeout} ENVIRONMENT "${QN_TEST_ENVIRONMENT}"
        WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
    if(head MATCHES "SERIAL: yes")
        set_tests_properties(${name} PROPERTIES RUN_SERIAL TRUE)
    endif()
    # A change of the label must be seen by the next build.
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${source}")
endfunction()

# One executable and one test for each unit/**/test_*.c: unit/base/test_error.c is "unit/base/error".
function(qn_add_unit_tests)
    pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/unit/test_*.c")
    foreach(source IN LISTS sources)
        get_filename_component(target "${source}" NAME_WE)
        file(RELATIVE_PATH path "${CMAKE_CURRENT_SOURCE_DIR}" "${source}")
        get_filename_component(folder "${path}" DIRECTORY)
        string(REGEX REPLACE "^test_" "" stem "${target}")
        add_executable(${target} "${source}")
        target_include_directories(${target} PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/unit")
        target_link_libraries(${target} PRIVATE quern_static PkgConfig::CMOCKA)
        set_target_properties(${target} PROPERTIES
            RUNTIME_OUTPUT_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/${folder}")
        add_test(NAME ${folder}/${stem} COMMAND ${target})
        qn_register(${folder}/${stem} "${source}" unit)
        add_dependencies(unit_tests ${target})
    endforeach()
endfunction()

# Each fuzz/fuzz_X.c replays fuzz/corpus/X/ as a test; under QN_FUZZ it becomes a libFuzzer program.
function(qn_add_fuzz_targets)
    file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/fuzz/fuzz_*.c")
    foreach(source IN LISTS sources)
        get_filename_component(target "${source}" NAME_WE)
        string(REGEX REPLACE "^fuzz_" "" stem "${target}")
        if(QN_FUZZ)
            add_executable(${target} "${source}")
            target_link_options(${target} PRIVATE -fsanitize=fuzzer)
            add_dependencies(fuzz_targets ${target})
        else()
            add_executable(${target} "${source}" "${CMAKE_CURRENT_SOURCE_DIR}/fuzz/replay_main.c")
            add_test(NAME fuzz/${stem} COMMAND ${target} "${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/${stem}")
            qn_register(fuzz/${stem} "${source}" replay)
            add_dependencies(unit_tests ${target})
        endif()
        target_link_libraries(${target} PRIVATE quern_static)
        set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/fuzz")
    endforeach()
endfunction()

# fault/shim.c, preloaded by the fault tests. Never sanitized: it must not need a run-time of its own.
function(qn_add_fault_shim)
    if(EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/fault/shim.c" AND NOT QN_SANITIZE)
        add_library(qnfault MODULE "${CMAKE_CURRENT_SOURCE_DIR}/fault/shim.c")
        target_link_libraries(qnfault PRIVATE ${CMAKE_DL_LIBS})
        set_target_properties(qnfault PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
    endif()
endfunction()

# bench/: what its programs share with the tests, and build/bench/quantize and products.
function(qn_add_c_bench)
    set(folder "${CMAKE_SOURCE_DIR}/bench")
    add_library(qn_bench STATIC "${folder}/peer.c" "${folder}/floor.c")
    target_include_directories(qn_bench PUBLIC "${folder}")
    target_compile_options(qn_bench PRIVATE -O3)
    target_link_libraries(qn_bench PUBLIC quern_static ${CMAKE_DL_LIBS})
    add_executable(bench_quantize "${folder}/quantize.c")
    target_compile_options(bench_quantize PRIVATE -O3)
    target_link_libraries(bench_quantize PRIVATE qn_bench)
    set_target_properties(bench_quantize PROPERTIES
        OUTPUT_NAME quantize RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bench")
    add_executable(bench_products "${folder}/products.c")
    target_compile_options(bench_products PRIVATE -O3)
    target_link_libraries(bench_products PRIVATE quern_static)
    set_target_properties(bench_products PROPERTIES
        OUTPUT_NAME products RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bench")
endfunction()

# peers/test_*.c are tests; other files there are helpers, built to build/tests/peers/.
function(qn_add_c_peers)
    file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/peers/*.c")
    foreach(source IN LISTS sources)
        get_filename_component(target "${source}" NAME_WE)
        add_executable(${target} "${source}")
        target_link_libraries(${target} PRIVATE qn_bench quern_static ${CMAKE_DL_LIBS})
        set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/peers")
        if(target MATCHES "^test_")
            string(REGEX REPLACE "^test_" "" stem "${target}")
            add_test(NAME peers/${stem} COMMAND ${target})
            qn_register(peers/${stem} "${source}" peer)
        endif()
    endforeach()
endfunction()

# Python and shell tests of peers/, fault/, install/, emulated/ and cli/.
function(qn_add_script_tests)
    foreach(folder peers fault install emulated)
        string(REGEX REPLACE "s$" "" label "${folder}")
        file(GLOB sources CONFIGURE_DEPENDS
            "${CMAKE_CURRENT_SOURCE_DIR}/${folder}/test_*.py" "${CMAKE_CURRENT_SOURCE_DIR}/${folder}/test_*.sh")
        foreach(source IN LISTS sources)
            get_filename_component(stem "${source}" NAME_WE)
            string(REGEX REPLACE "^test_" "" stem "${stem}")
            if(source MATCHES "\\.py$")
                add_test(NAME ${folder}/${stem} COMMAND "${QN_PYTHON}" "${source}")
            else()
                add_test(NAME ${folder}/${stem} COMMAND bash "${source}")
            endif()
            qn_register(${folder}/${stem} "${source}" ${label})
        endforeach()
    endforeach()

    file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/cli/*.sh")
    list(REMOVE_ITEM sources "${CMAKE_CURRENT_SOURCE_DIR}/cli/run_case.sh")
    foreach(source IN LISTS sources)
        get_filename_component(stem "${source}" NAME_WE)
        add_test(NAME cli/${stem} COMMAND bash "${CMAKE_CURRENT_SOURCE_DIR}/cli/run_case.sh" "${source}")
        qn_register(cli/${stem} "${source}" cli)
    endforeach()
endfunction()

# The house's rules, each a test of its own.
function(qn_add_lint_tests)
    foreach(step rules selftest format tidy exports)
        add_test(NAME lint/${step} COMMAND "${CMAKE_SOURCE_DIR}/scripts/lint" ${step})
        qn_register(lint/${step} "${CMAKE_SOURCE_DIR}/scripts/lint" lint)
    endforeach()
    # clang-tidy takes every core by itself, and an hour for the whole tree on a slow one.
    cmake_host_system_information(RESULT n_cores QUERY NUMBER_OF_LOGICAL_CORES)
    set_tests_properties(lint/tidy PROPERTIES PROCESSORS ${n_cores} TIMEOUT 3600)
endfunction()
