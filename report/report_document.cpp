#include "report_document.h"

namespace regroup {

ModelRole parse_role(const std::string& role) {
  if (role == "baseline") return ModelRole::kBaseline;
  if (role == "converted") return ModelRole::kConverted;
  return role == "uptrained" ? ModelRole::kUptrained : ModelRole::kModel;
}

const char* role_label(ModelRole role) {
  switch (role) {
    case ModelRole::kBaseline:
      return "before";
    case ModelRole::kConverted:
      return "converted";
    case ModelRole::kUptrained:
      return "uptrained";
    case ModelRole::kControl:
      return "control";
    default:
      return "model";
  }
}

int role_colour(ModelRole role) {
  if (role == ModelRole::kBaseline) return 1;
  if (role == ModelRole::kConverted) return 2;
  if (role == ModelRole::kControl) return 5;
  return role == ModelRole::kUptrained ? 3 : 4;
}

}  // namespace regroup
