# The command line, as a user and a script see it.
regroup_test(cli command_line)
regroup_test(cli pipeline)
regroup_test(cli uptrain_teacher)
foreach(name IN ITEMS command_line pipeline uptrain_teacher)
  target_compile_definitions(${name}_test PRIVATE REGROUP_BINARY="$<TARGET_FILE:regroup>")
  add_dependencies(${name}_test regroup)
endforeach()
# docs/commands is made from the same source as --help.
add_test(NAME cli.command_pages COMMAND "${CMAKE_SOURCE_DIR}/scripts/make_command_pages" --check "$<TARGET_FILE:regroup>")
set_tests_properties(cli.command_pages PROPERTIES LABELS cli TIMEOUT 120)
