# Recipes, without LibTorch.
regroup_test(cli recipe)
target_include_directories(recipe_test PRIVATE "${CMAKE_SOURCE_DIR}/cli")
regroup_test(cli malformed_recipe)
target_include_directories(malformed_recipe_test PRIVATE "${CMAKE_SOURCE_DIR}/cli")
regroup_test(cli bad_recipe)
target_compile_definitions(bad_recipe_test PRIVATE REGROUP_BINARY="$<TARGET_FILE:regroup>")
add_dependencies(bad_recipe_test regroup)
