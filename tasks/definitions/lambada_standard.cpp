// LAMBADA (arXiv:1606.06031), as it was published.
#include "definitions/definitions.h"

namespace regroup {

const TaskDefinition tasks::lambada_standard{.name = "lambada_standard",
                                             .kind = TaskKind::kLoglikelihood,
                                             .measures = tasks::kLastWordMeasures,
                                             .pool = "validation",
                                             .question = tasks::lambada_question};

}  // namespace regroup
