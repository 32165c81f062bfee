# The threads of a conversion, without LibTorch: TSan can follow all of them.
regroup_test(convert stream)
