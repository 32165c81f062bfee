#include "definitions/definitions.h"

namespace regroup {

const TaskDefinition tasks::arc_challenge{
    .name = "arc_challenge", .measures = tasks::kChoiceMeasures, .question = tasks::arc_question};

}  // namespace regroup
