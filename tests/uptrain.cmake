# Uptraining: schedule, data, loss, optimizer, exact resume.
regroup_test(uptrain schedule)
regroup_test(uptrain dataset)
regroup_test(uptrain loss)
regroup_test(uptrain distillation)
regroup_test(uptrain training_resume)
regroup_test(uptrain tensorboard)
target_compile_definitions(training_resume_test PRIVATE REGROUP_BINARY="$<TARGET_FILE:regroup>")
add_dependencies(training_resume_test regroup)
