// Prints exactly (in hexadecimal) what the kernels compute for pseudo-random inputs; see test_vectors.py.
#include <cstdint>
#include <cstdio>

#include "update.h"

using namespace floorbench;

// Pseudo-random numbers in [-1, 1), the same on every machine.
struct Source {
    uint64_t state = 20240607;

    template <typename Real>
    std::vector<Real> take(long count) {
        std::vector<Real> numbers(count);
        for (Real& number : numbers) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            number = Real(int32_t(state >> 32)) / Real(2147483648.0);
        }
        return numbers;
    }
};

template <typename Real>
void print(const char* name, const Real* numbers, long count) {
    std::printf("%s", name);
    for (long at = 0; at < count; ++at) std::printf(" %a", double(numbers[at]));
    std::printf("\n");
}

// Offsets of consecutive tensors; the last is their total size.
std::vector<long> offsets_of(const std::vector<long>& sizes) {
    std::vector<long> offsets{0};
    for (const long size : sizes) offsets.push_back(offsets.back() + size);
    return offsets;
}

template <typename Real>
void run(long batch, long n, long states, long actions, std::vector<long> widths, std::vector<long> normalised = {}) {
    Source source;
    const long count = 1 + 3 * n;
    std::vector<long> sizes{states * widths[0], actions * widths[0], widths[0]};
    for (size_t layer = 1; layer < widths.size(); ++layer) {
        sizes.push_back(widths[layer - 1] * widths[layer]);
        sizes.push_back(widths[layer]);
    }
    sizes.push_back(widths.back());
    sizes.push_back(1);
    for (size_t layer = 0; layer < normalised.size(); ++layer) sizes.insert(sizes.end(), 2, widths[layer]);
    std::vector<long> offsets = offsets_of(sizes);
    const long total = offsets.back();
    offsets.pop_back();
    const NetworkShape shape{states, actions, widths, offsets, normalised};
    auto critic = source.take<Real>(2 * total);
    const auto policy_states = source.take<Real>(batch * states), sampled = source.take<Real>(batch * count * actions);
    const auto target = source.take<Real>(batch), density = source.take<Real>(batch * 3 * n);
    const auto floor = source.take<Real>(batch);
    std::vector<Real> value_gradient(batch * count), gradient(total, 0), values(batch * count);
    Arena arena, of_critics;
    critic_values<Real>(shape, critic.data(), {policy_states.data(), sampled.data(), batch, count}, arena,
                        values.data());
    print("values", values.data(), batch * count);
    const CriticLossForm form{false, true, false, false, false, false, false, false, false};
    const CriticLossScalars<Real> scalars{5, 1, 0, -200, 200, 0};
    const CriticLossSums sums = critic_gradient<Real>(
        shape, critic.data(), {policy_states.data(), sampled.data(), batch, count}, target.data(), density.data(),
        floor.data(), form, scalars, arena, value_gradient.data(), gradient.data());
    const double of_loss[] = {sums.squared_td, sums.difference, double(sums.below_current)};
    print("loss", of_loss, 3);
    print("value gradient", value_gradient.data(), batch * count);
    print("gradient", gradient.data(), total);
    std::vector<Real> first(total, 0), second(total, 0);
    adam_step<Real>(critic.data(), first.data(), second.data(), gradient.data(), total, 0.9, 0.999, 1e-8, 1e-3);
    polyak_update<Real>(critic.data() + total, critic.data(), total, Real(0.01));
    print("adam", critic.data(), 2 * total);

    std::vector<long> policy_sizes, policy_widths = widths;
    policy_widths.push_back((2 * actions + 3) / 4 * 4);
    long inputs = states;
    for (const long width : policy_widths) {
        policy_sizes.push_back(inputs * width);
        policy_sizes.push_back(width);
        inputs = width;
    }
    policy_sizes.push_back(1);
    policy_sizes.push_back(1);
    for (size_t layer = 0; layer < normalised.size(); ++layer)
        policy_sizes.insert(policy_sizes.end(), 2, policy_widths[layer]);
    std::vector<long> policy_offsets = offsets_of(policy_sizes);
    const long size = policy_offsets.back();
    policy_offsets.pop_back();
    const PolicyShape policy_shape{states, actions, policy_widths, policy_offsets, normalised};
    const auto parameters = source.take<Real>(size), noise = source.take<Real>(batch * actions);
    std::vector<Real> of_parameters(size, 0);
    Arena policy_arena;
    policy_arena.reset(Policy<Real>::bytes(policy_shape, batch) + policy_gradient_bytes<Real>(policy_shape, batch, 2));
    Policy<Real> policy(policy_shape, parameters.data(), policy_states.data(), batch, policy_arena);
    const PolicyLoss loss =
        policy_gradient<Real>(policy_shape, policy, shape, critic.data(), 2, total, policy_states.data(), noise.data(),
                              batch, Real(0.3), false, policy_arena, of_critics, of_parameters.data());
    const double of_policy_loss[] = {loss.loss, loss.log_prob};
    print("policy loss", of_policy_loss, 2);
    print("policy gradient", of_parameters.data(), size);
}

// exp(x) for x = -0, -1/16, ..., -112: down to subnormal numbers and zero.
void print_exponentials() {
    std::vector<float> numbers;
    for (int number = 0; number <= 112 * 16; ++number) numbers.push_back(-number / 16.0f);
    exponentials_below_zero(numbers.data(), static_cast<long>(numbers.size()), 0.0f);
    print("exponentials", numbers.data(), static_cast<long>(numbers.size()));
}

int main() {
    print_exponentials();
    run<float>(37, 4, 7, 2, {64, 64});
    run<float>(20, 10, 29, 8, {40, 100, 36});
    run<double>(9, 3, 5, 3, {44, 52});
    run<float>(20, 10, 29, 8, {40, 100, 36}, {38, 100, 33});
    run<double>(9, 3, 5, 3, {44, 52}, {44, 50});
}
