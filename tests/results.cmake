# What was measured, as results hold it.
regroup_test(results damage_profile)
regroup_test(results paired)
