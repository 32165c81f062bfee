# What `cmake --install` puts where. The program finds its libraries beside its own file, whatever link it was called
# through: they lie in one folder, and bin/ has a relative link, so that the prefix can be moved.
include(GNUInstallDirs)
set(home "${CMAKE_INSTALL_LIBDIR}/regroup")
install(TARGETS regroup RUNTIME DESTINATION "${home}")
file(RELATIVE_PATH from_bin "/${CMAKE_INSTALL_BINDIR}" "/${home}/regroup")
file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/bin-link")
file(CREATE_LINK "${from_bin}" "${CMAKE_BINARY_DIR}/bin-link/regroup" SYMBOLIC)
install(FILES "${CMAKE_BINARY_DIR}/bin-link/regroup" DESTINATION "${CMAKE_INSTALL_BINDIR}")
if(REGROUP_TORCH)
  # LibTorch (1.3 GB) stays where it is, unless it lies in, or is linked as, torch/ beside the program.
  set_target_properties(regroup_torch PROPERTIES INSTALL_RPATH "$ORIGIN/torch/lib;${torch_dir}/lib")
  install(TARGETS regroup_torch LIBRARY DESTINATION "${home}")
  install(FILES "${CMAKE_BINARY_DIR}/libregroup_cuda.so" DESTINATION "${home}" OPTIONAL)
endif()

# Completion: a generator walks the commands as --help does.
add_executable(regroup_completions
  cli/completion/bash.cpp
  cli/completion/command_shape.cpp
  cli/completion/fish.cpp
  cli/completion/main.cpp
  cli/completion/zsh.cpp)
target_include_directories(regroup_completions PRIVATE cli)
target_link_libraries(regroup_completions PRIVATE regroup_without_torch regroup_cli regroup_flags fmt::fmt)
set(completions "${CMAKE_BINARY_DIR}/completions")
file(MAKE_DIRECTORY "${completions}")
add_custom_command(OUTPUT "${completions}/regroup" "${completions}/_regroup" "${completions}/regroup.fish"
  COMMAND regroup_completions "${completions}" DEPENDS regroup_completions COMMENT "Completions for bash, zsh and fish")
add_custom_target(regroup_completion_files ALL DEPENDS "${completions}/regroup")
install(FILES "${completions}/regroup" DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions")
install(FILES "${completions}/_regroup" DESTINATION "${CMAKE_INSTALL_DATADIR}/zsh/site-functions")
install(FILES "${completions}/regroup.fish" DESTINATION "${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d")

# Manual pages, from docs/commands.
find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  file(GLOB command_pages CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/docs/commands/*.md")
  set(man "${CMAKE_BINARY_DIR}/man")
  add_custom_command(OUTPUT "${man}/regroup.1"
    COMMAND "${Python3_EXECUTABLE}" "${CMAKE_SOURCE_DIR}/scripts/make_man_pages" "${man}" --version "${PROJECT_VERSION}"
    DEPENDS ${command_pages} "${CMAKE_SOURCE_DIR}/scripts/make_man_pages" COMMENT "Manual pages")
  add_custom_target(regroup_man_pages ALL DEPENDS "${man}/regroup.1")
  install(DIRECTORY "${man}/" DESTINATION "${CMAKE_INSTALL_MANDIR}/man1" FILES_MATCHING PATTERN "*.1")
else()
  message(STATUS "No Python: no manual pages")
endif()
install(FILES LICENSE README.md CHANGELOG.md DESTINATION "${CMAKE_INSTALL_DOCDIR}")
