# The file layer.
regroup_test(checkpoint tiny_model)
regroup_test(checkpoint safetensors_cases)
regroup_test(checkpoint safetensors)
regroup_test(checkpoint safetensors_differential)
regroup_test(checkpoint model_folder)
regroup_test(checkpoint config)
