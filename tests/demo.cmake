regroup_test(demo grammar)
