# A model in memory.
regroup_test(model decoder_logits)
regroup_test(model decode_cache)
regroup_test(model ops EVERY_SIMD_TARGET)
regroup_test(model attention EVERY_SIMD_TARGET)
regroup_test(model activation_checkpointing)
regroup_test(model load_weights)
regroup_test(model sampling)
regroup_test(model simd)
