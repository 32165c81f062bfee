# What is installed: completion, manual pages, a prefix that can be moved.
regroup_test(cli completion)
target_compile_definitions(completion_test PRIVATE REGROUP_BINARY="$<TARGET_FILE:regroup>" REGROUP_COMPLETIONS="${CMAKE_BINARY_DIR}/completions")
add_dependencies(completion_test regroup regroup_completion_files)
regroup_test(cli install)
target_compile_definitions(install_test PRIVATE REGROUP_CMAKE="${CMAKE_COMMAND}" REGROUP_BUILD="${CMAKE_BINARY_DIR}"
  $<$<BOOL:${REGROUP_TORCH}>:REGROUP_HAS_TORCH>)
add_dependencies(install_test regroup regroup_completion_files regroup_man_pages)
