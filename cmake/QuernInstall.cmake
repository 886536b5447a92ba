# SPDX-License-Identifier: MIT
# What `make install` puts where. quern.pc finds its prefix from its own place, so the tree can be moved.

set(CMAKE_INSTALL_LIBDIR lib CACHE PATH "Libraries, below the prefix")
include(GNUInstallDirs)

if(TARGET quern)
    install(TARGETS quern RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(TARGETS quern_static quern_shared
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY "${CMAKE_SOURCE_DIR}/include/quern" DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    FILES_MATCHING PATTERN "*.h")

if(TARGET quern_manual)
    get_property(pages GLOBAL PROPERTY QN_MAN_PAGES)
    list(TRANSFORM pages PREPEND "${CMAKE_BINARY_DIR}/manual/")
    install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
    install(FILES "${CMAKE_BINARY_DIR}/manual/completion.bash" RENAME quern
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
    install(FILES "${CMAKE_BINARY_DIR}/manual/completion.zsh" RENAME _quern
        DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
    install(FILES "${CMAKE_BINARY_DIR}/manual/completion.fish" RENAME quern.fish
        DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endif()

file(RELATIVE_PATH QN_PC_PREFIX "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
configure_file("${CMAKE_SOURCE_DIR}/cmake/quern.pc.in" "${CMAKE_BINARY_DIR}/quern.pc" @ONLY)
install(FILES "${CMAKE_BINARY_DIR}/quern.pc" DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
