regroup_test(demo grammar)
regroup_test(demo demo_recipe)
target_compile_definitions(demo_recipe_test PRIVATE REGROUP_BINARY="$<TARGET_FILE:regroup>" REGROUP_DEMO_DATA="$<TARGET_FILE:regroup_demo_data>")
add_dependencies(demo_recipe_test regroup regroup_demo_data)
