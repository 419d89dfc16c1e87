// A whole update of a pack in one call: the class `torch.classes.floorbench.Update`. One thread computes a run.
#pragma once

#include <torch/custom_class.h>

#include <string>

#include "operators.h"

namespace floorbench {

using NamedTensors = c10::Dict<std::string, Tensor>;

// A tensor with one or several rows per run that stays at the same address.
struct Rows {
    Tensor tensor;
    long width;  // elements per run

    Rows(const NamedTensors& tensors, const std::string& name, long runs) : tensor(tensors.at(name)) {
        TORCH_CHECK(tensor.device().is_cpu() && tensor.is_contiguous() && tensor.numel() % runs == 0, name,
                    ": must be contiguous, on the CPU and have the same number of rows for each run");
        width = tensor.numel() / runs;
    }

    template <typename Real>
    Real* of(long run) const {
        return tensor.mutable_data_ptr<Real>() + run * width;
    }
};

// An input [R, ...] of one update, contiguous within each run; copied only if necessary.
struct Input {
    Tensor tensor;

    Input(const Tensor& given, const Tensor& like) : tensor(given) {
        if (!usable(like)) tensor = checked(given, like);
    }

    bool usable(const Tensor& like) const {
        bool contiguous = true;
        long step = 1;
        for (long axis = tensor.dim() - 1; axis > 0; --axis) {
            contiguous &= tensor.stride(axis) == step || tensor.size(axis) == 1;
            step *= tensor.size(axis);
        }
        return contiguous && tensor.device().is_cpu() && tensor.scalar_type() == like.scalar_type();
    }

    template <typename Real>
    const Real* of(long run) const {
        return tensor.const_data_ptr<Real>() + run * tensor.stride(0);
    }
};

// Parameters with the state of their optimizer.
struct Learned {
    Rows parameters, first, second, gradient, rate;

    Learned(const NamedTensors& tensors, const std::string& name, long runs)
        : parameters(tensors, name, runs),
          first(tensors, name + "_first", runs),
          second(tensors, name + "_second", runs),
          gradient(tensors, name + "_gradient", runs),
          rate(tensors, name + "_rate", runs) {}

    long networks() const { return rate.width; }

    // A step of Adam on the networks `first_network` to `after` of one run; `corrections` are a factor of the rates, and
    // epsilon.
    template <typename Real>
    void step(long run, long first_network, long after, Real beta_1, Real beta_2, const Real* corrections) const {
        const long width = parameters.width / networks();
        for (long network = first_network; network < after; ++network) {
            const long at = network * width;
            adam_step<Real>(parameters.of<Real>(run) + at, first.of<Real>(run) + at, second.of<Real>(run) + at,
                            gradient.of<Real>(run) + at, width, beta_1, beta_2, corrections[1],
                            rate.of<Real>(run)[network] * corrections[0]);
        }
    }
};

class Update : public torch::CustomClassHolder {
public:
    // The `tensors` must stay at their addresses. Their names and the order of all lists are those of `FusedUpdate` in
    // fused_kernel.py: widths, offsets and normalised columns of the policy, then of the critics.
    Update(const NamedTensors& tensors, const std::vector<std::vector<int64_t>>& networks,
           const std::vector<int64_t>& sizes, const c10::List<bool>& form, const c10::List<bool>& flags,
           double uniform_density, double beta_1, double beta_2)
        : runs_(tensors.at("discount").numel()),
          policy_(tensors, "policy", runs_),
          critic_(tensors, "critic", runs_),
          scalars_(tensors, "scalars", runs_),
          target_(tensors, "target", runs_),
          tau_(tensors, "tau", runs_),
          discount_(tensors, "discount", runs_),
          target_entropy_(tensors, "target_entropy", runs_),
          sums_(tensors, "sums", runs_),
          beta_1_(beta_1),
          beta_2_(beta_2) {
        for (const char* name : {"alpha", "temperature", "target_action_gap", "difference_min", "difference_max"})
            of_loss_.emplace_back(tensors, name, runs_);
        TORCH_CHECK(networks.size() == 6 && sizes.size() == 6 && flags.size() == 4,
                    "there must be 6 lists for the networks, 6 sizes and 4 flags");
        const auto list = [&](long number) {
            return std::vector<long>(networks[number].begin(), networks[number].end());
        };
        shape_ = {.policy = {sizes[0], sizes[1], list(0), list(1), list(2)},
                  .critic = {sizes[0], sizes[1], list(3), list(4), list(5)},
                  .form = form_of(form),
                  .critics = critic_.networks(),
                  .batch = sizes[2],
                  .target_critics = sizes[5],
                  .n = sizes[3],
                  .following = sizes[4],
                  .max_then_min = flags[0],
                  .backup_entropy = flags[1],
                  .mean_action = flags[2],
                  .mean_value = flags[3],
                  .uniform_density = uniform_density};
    }

    // Make one update of every run; see algorithms/batch.py for batch and noise. `temperature` [R] is the entropy
    // temperature; the `corrections` [2] are Adam's at this step, for critics and multiplier and for policy and
    // temperature. The latter two change only `with_policy`.
    void step(const Tensor& states, const Tensor& actions, const Tensor& rewards, const Tensor& next_states,
              const Tensor& terminals, const Tensor& floor, const Tensor& uniform, const Tensor& state_noise,
              const Tensor& following_noise, const Tensor& target_critics, const Tensor& temperature,
              const Tensor& corrections, const Tensor& policy_corrections, bool with_policy) {
        const long rows = runs_ * shape_.batch, width = shape_.policy.actions;
        const auto input = [&](const Tensor& tensor, long numbers) {
            TORCH_CHECK(tensor.numel() == rows * numbers && tensor.size(0) == runs_,
                        "batch and noise must have the pack's sizes");
            return Input(tensor, discount_.tensor);
        };
        const std::array<Input, 9> inputs{
            input(states, shape_.policy.states),
            input(actions, width),
            input(rewards, 1),
            input(next_states, shape_.policy.states),
            input(terminals, 1),
            input(floor, 1),
            input(uniform, shape_.n * width),
            input(state_noise, (1 + shape_.n) * width),
            input(following_noise, shape_.following * width),
        };
        const Tensor temperatures = checked(temperature, discount_.tensor);
        const Tensor of_critics = checked(corrections, discount_.tensor),
                     of_policies = checked(policy_corrections, discount_.tensor);
        TORCH_CHECK(temperatures.numel() == runs_ && of_critics.numel() == 2 && of_policies.numel() == 2,
                    "temperatures must be [R], corrections [2]");
        const Tensor chosen = checked_choice(target_critics);
        AT_DISPATCH_FLOATING_TYPES(discount_.tensor.scalar_type(), "update", [&] {
            parallel_for(runs_, [&](long run, Memory& memory) {
                const auto of_run = [&](long number) { return inputs[number].of<scalar_t>(run); };
                const RunInputs<scalar_t> run_inputs{of_run(0), of_run(1), of_run(2), of_run(3), of_run(4),
                                                     of_run(5), of_run(6), of_run(7), of_run(8),
                                                     chosen.const_data_ptr<int64_t>() + run * shape_.target_critics};
                update_run<scalar_t>(run, run_inputs, temperatures.const_data_ptr<scalar_t>()[run],
                                     of_critics.const_data_ptr<scalar_t>(), of_policies.const_data_ptr<scalar_t>(),
                                     with_policy, memory);
            });
        });
    }

private:
    // The numbers of the critics that give the target [R, k], contiguous and in range.
    Tensor checked_choice(const Tensor& target_critics) const {
        TORCH_CHECK(target_critics.device().is_cpu() && target_critics.scalar_type() == at::kLong &&
                        target_critics.numel() == runs_ * shape_.target_critics,
                    "the critics of the target must be int64 [R, k]");
        const Tensor chosen = target_critics.contiguous();
        const int64_t* numbers = chosen.const_data_ptr<int64_t>();
        TORCH_CHECK(std::all_of(numbers, numbers + chosen.numel(),
                                [&](int64_t number) { return number >= 0 && number < shape_.critics; }),
                    "the critics of the target must be numbers of critics");
        return chosen;
    }

    template <typename Real>
    void update_run(long run, const RunInputs<Real>& inputs, Real temperature, const Real* corrections,
                    const Real* policy_corrections, bool with_policy, Memory& memory) const {
        const RunParameters<Real> parameters{policy_.parameters.of<Real>(run),
                                             critic_.parameters.of<Real>(run),
                                             target_.of<Real>(run),
                                             policy_.gradient.of<Real>(run),
                                             critic_.gradient.of<Real>(run),
                                             critic_.parameters.width / shape_.critics};
        const auto of_loss = [&](long number) { return *of_loss_[number].of<Real>(run); };
        // A run has two rows of learned scalars with one element each: entropy temperature and raw multiplier.
        const long second = scalars_.parameters.width / 2;
        const CriticLossScalars<Real> scalars{of_loss(0), of_loss(1), of_loss(2),
                                              of_loss(3), of_loss(4), scalars_.parameters.of<Real>(run)[second]};
        const RunLosses<Real> losses = RunUpdate<Real>(shape_, parameters, inputs, memory)
                                           .gradients(scalars, *discount_.of<Real>(run), temperature, with_policy);
        const Real log_prob = losses.policy.log_prob;
        if (with_policy) scalars_.gradient.of<Real>(run)[0] = -temperature * (log_prob + *target_entropy_.of<Real>(run));
        scalars_.gradient.of<Real>(run)[second] = losses.critic.lagrange_gradient;

        const Real logged[] = {losses.critic.loss,
                               losses.critic.td_error,
                               losses.critic.difference,
                               losses.critic.bound_rate_current,
                               losses.critic.bound_rate_following,
                               Real(losses.policy.loss),
                               log_prob,
                               temperature};
        Real* sum = sums_.of<Real>(run);
        for (const Real value : logged) *sum++ += value;

        if (with_policy) {
            policy_.step<Real>(run, 0, 1, beta_1_, beta_2_, policy_corrections);
            scalars_.step<Real>(run, 0, 1, beta_1_, beta_2_, policy_corrections);
        }
        critic_.step<Real>(run, 0, critic_.networks(), beta_1_, beta_2_, corrections);
        scalars_.step<Real>(run, 1, scalars_.networks(), beta_1_, beta_2_, corrections);
        for (long critic = 0; critic < shape_.critics; ++critic) {
            const long at = critic * parameters.stride;
            polyak_update<Real>(target_.of<Real>(run) + at, critic_.parameters.of<Real>(run) + at, parameters.stride,
                                tau_.of<Real>(run)[critic]);
        }
    }

    long runs_;
    Learned policy_, critic_, scalars_;
    Rows target_, tau_, discount_, target_entropy_, sums_;
    std::vector<Rows> of_loss_;
    double beta_1_, beta_2_;
    UpdateShape shape_;
};

}  // namespace floorbench
