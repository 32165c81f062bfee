#include "checkpointing.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>

namespace regroup {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Lives as long as the graph: a dropped graph frees it, a retained one may run it again.
struct Holder : torch::CustomClassHolder {
  explicit Holder(Segment s) : segment(std::move(s)) {}
  Segment segment;
};

struct Checkpointed : torch::autograd::Function<Checkpointed> {
  static variable_list forward(AutogradContext* ctx, const c10::intrusive_ptr<Holder>& holder,
                               at::TensorList inputs) {
    ctx->save_for_backward({inputs.begin(), inputs.end()});
    ctx->saved_data["segment"] = at::IValue::make_capsule(holder);
    return holder->segment({inputs.begin(), inputs.end()});
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto capsule = ctx->saved_data["segment"].toCapsule();
    const Segment& segment = static_cast<const Holder&>(*capsule).segment;
    std::vector<at::Tensor> inputs;
    for (const at::Tensor& saved : ctx->get_saved_variables()) {
      inputs.push_back(saved.detach().set_requires_grad(saved.requires_grad()));
    }
    variable_list outputs;
    {
      const c10::AutoGradMode enabled(true);
      outputs = segment(inputs);
    }
    variable_list wanted;
    std::vector<size_t> slots;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!inputs[i].requires_grad()) continue;
      wanted.push_back(inputs[i]);
      slots.push_back(i);
    }
    const variable_list found =
        torch::autograd::grad(outputs, wanted, grads, /*retain_graph=*/false,
                              /*create_graph=*/false, /*allow_unused=*/true);
    variable_list result(1 + inputs.size());  // the first slot belongs to the segment
    for (size_t i = 0; i < slots.size(); ++i) result[1 + slots[i]] = found[i];
    return result;
  }
};

}  // namespace

std::vector<at::Tensor> checkpointed(Segment segment, const std::vector<at::Tensor>& inputs) {
  return Checkpointed::apply(c10::make_intrusive<Holder>(std::move(segment)),
                             at::TensorList(inputs));
}

}  // namespace regroup
