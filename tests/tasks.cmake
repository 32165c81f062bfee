# What evaluation tasks ask, and what answers are worth.
regroup_test(tasks generated)
regroup_test(tasks probe)
regroup_test(tasks prompts)
regroup_test(tasks python_random)
regroup_test(tasks task_file)
regroup_test(tasks text_metrics)
regroup_test(tasks task_scores)
regroup_test(tasks token_request)
