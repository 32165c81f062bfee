#pragma once

#include "regroup/checkpoint/tensor_file.h"

namespace regroup {

/// The tensors of a file of torch.save: a ZIP archive that stores, unpacked, a pickle of names and the bytes of each storage.
/// Nothing of the pickle is carried out: it may only name tensors and put them into dictionaries (checkpoint/pickle.h).
/// A checksum of the weights themselves is not compared, as torch.load does not; where a file has none at all, a notice says so.
/// @throws CheckpointError  TORCH_NOT_WEIGHTS, ZIP_*, PICKLE_STRUCT, PICKLE_LIMIT, PICKLE_STORAGE, PICKLE_VIEW, SRC_CHANGED
/// @throws UnsupportedError ZIP_COMPRESSED, ZIP_BYTEORDER, PICKLE_GLOBAL, PICKLE_OPCODE, PICKLE_UNSUPPORTED, PICKLE_LEGACY,
///                          TORCHSCRIPT_REFUSED
TensorTable read_torch_table(const InputFile& file);

}  // namespace regroup
