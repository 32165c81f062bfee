# What was measured, as results hold it.
regroup_test(results damage_profile)
regroup_test(results evaluation)
regroup_test(results fidelity_curve)
regroup_test(results histogram)
regroup_test(results paired)
regroup_test(results result_files)
regroup_test(results speed)
