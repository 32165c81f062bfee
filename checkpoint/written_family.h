#pragma once

#include <string>

#include "regroup/checkpoint/config.h"
#include "regroup/checkpoint/family.h"

namespace regroup {

/// The family whose folders conversions of a model are: its own, or where its class shares no KV heads another that
/// computes the same.
/// @param path  names config.json in errors
/// @throws UnsupportedError CFG_UNSUPPORTED where that class cannot hold this model
const ModelFamily& written_family(const ModelConfig& config, const std::string& path);

/// `config` as one of its written family, with as many KV heads: roles that the class always has are there, and a norm that
/// it does not have is folded into what reads it. For a model that written_family() took.
ModelConfig written_config(const ModelConfig& config);

/// The text of config.json as that of the written family; the same text where that is its own.
/// For a model that written_family() took.   @param path  names the file in errors
std::string rename_class(const ModelConfig& config, const std::string& config_text,
                         const std::string& path);

}  // namespace regroup
