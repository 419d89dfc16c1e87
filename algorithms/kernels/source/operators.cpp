// Registers the kernels as torch operators (`torch.ops.floorbench`) and the class `torch.classes.floorbench.Update`.
#include <torch/library.h>

#include "update_operator.h"

TORCH_LIBRARY(floorbench, library) {
    library.def(
        "critic_values(Tensor parameters, Tensor states, Tensor actions, int[] widths, int[] offsets, int[] normalised) "
        "-> Tensor",
        &floorbench::critic_values_of);
    library.def(
        "bellman_target(Tensor reward, Tensor terminal, Tensor discount, Tensor next_values, Tensor next_log_prob, "
        "bool max_then_min, Tensor? temperature) -> Tensor",
        &floorbench::bellman_target_of);
    library.def(
        "critic_gradient(Tensor parameters, Tensor states, Tensor actions, int[] widths, int[] offsets, "
        "int[] normalised, Tensor target, Tensor log_density, Tensor floor, Tensor[] scalars, bool[] form, Tensor(a!) gradient) "
        "-> (Tensor, Tensor)",
        &floorbench::critic_gradient_of);
    library.def(
        "policy_samples(Tensor parameters, Tensor states, Tensor noise, int[] widths, int[] offsets, int[] normalised) "
        "-> (Tensor, Tensor)",
        &floorbench::policy_samples_of);
    library.def(
        "policy_gradient(Tensor parameters, Tensor critic_parameters, Tensor states, Tensor noise, int[] widths, "
        "int[] offsets, int[] normalised, int[] critic_widths, int[] critic_offsets, int[] critic_normalised, "
        "Tensor temperature, bool mean_value, Tensor(a!) gradient) "
        "-> (Tensor, Tensor)",
        &floorbench::policy_gradient_of);
    library.def(
        "adam_step(Tensor(a!) parameters, Tensor(b!) first, Tensor(c!) second, Tensor gradient, Tensor learning_rate, "
        "Tensor corrections, float beta_1, float beta_2) -> ()",
        &floorbench::adam_step_of);
    library.def("polyak_update(Tensor(a!) targets, Tensor parameters, Tensor tau) -> ()",
                &floorbench::polyak_update_of);
    library.def("multiply_add(int rounds) -> int", &floorbench::multiply_add);
    library.def("read_memory(Tensor memory, int rounds) -> int", &floorbench::read_memory_of);
    library.class_<floorbench::Update>("Update")
        .def(torch::init<const floorbench::NamedTensors&, const std::vector<std::vector<int64_t>>&,
                         const std::vector<int64_t>&, const c10::List<bool>&, const c10::List<bool>&, double, double,
                         double>())
        .def("step", &floorbench::Update::step);
}
