#include "checkpointing.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <memory>

namespace regroup {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Checkpointed : torch::autograd::Function<Checkpointed> {
  static variable_list forward(AutogradContext* ctx, const std::shared_ptr<Segment>& segment,
                               at::TensorList inputs) {
    ctx->save_for_backward({inputs.begin(), inputs.end()});
    ctx->saved_data["segment"] = reinterpret_cast<int64_t>(new std::shared_ptr<Segment>(segment));
    return (*segment)({inputs.begin(), inputs.end()});
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    auto* holder = reinterpret_cast<std::shared_ptr<Segment>*>(ctx->saved_data["segment"].toInt());
    const std::unique_ptr<std::shared_ptr<Segment>> owned(holder);
    std::vector<at::Tensor> inputs;
    for (const at::Tensor& saved : ctx->get_saved_variables()) {
      inputs.push_back(saved.detach().set_requires_grad(saved.requires_grad()));
    }
    variable_list outputs;
    {
      const c10::AutoGradMode enabled(true);
      outputs = (**owned)(inputs);
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
  return Checkpointed::apply(std::make_shared<Segment>(std::move(segment)), at::TensorList(inputs));
}

}  // namespace regroup
