// Optimizer steps by their published formulas, one element, in double.
#pragma once

#include <cmath>

namespace dcl::test {

struct OracleState {
  double w, first = 0, second = 0;  ///< weight; momentum or first moment; second moment
};

/// Kingma & Ba 2015 with PyTorch's coupled decay; step counts from 1.
inline void oracle_adam(OracleState& s, double g, double lr, double beta1, double beta2, double eps, double decay,
                        int step) {
  g += decay * s.w;
  s.first = beta1 * s.first + (1 - beta1) * g;
  s.second = beta2 * s.second + (1 - beta2) * g * g;
  const double m_hat = s.first / (1 - std::pow(beta1, step)), v_hat = s.second / (1 - std::pow(beta2, step));
  s.w -= lr * m_hat / (std::sqrt(v_hat) + eps);
}

/// torch.optim.SGD: the first step sets the buffer to the gradient.
inline void oracle_sgd(OracleState& s, double g, double lr, double momentum, double decay, bool nesterov, int step) {
  g += decay * s.w;
  s.first = step == 1 ? g : momentum * s.first + g;
  s.w -= lr * (nesterov ? g + momentum * s.first : s.first);
}

}  // namespace dcl::test
