#pragma once

#include <cmath>

// The scalar arithmetic that the CPU and the CUDA kernels share, so that what runs on the GPU is tested on the CPU.
#ifdef __CUDACC__
#define HOURGLASS_HOST_DEVICE __host__ __device__
#else
#define HOURGLASS_HOST_DEVICE
#endif

namespace hourglass::kernels {

template <class T>
HOURGLASS_HOST_DEVICE inline T sigmoid(T x) {
  using std::exp;
  return T(1) / (T(1) + exp(-x));
}

// SwiGLU (Shazeer, arXiv 2002.05202): gate sigmoid(gate) up.
template <class T>
HOURGLASS_HOST_DEVICE inline T swiglu(T gate, T up) {
  return gate * sigmoid(gate) * up;
}
template <class T>
struct SwigluGradient {
  T gate, up;
};
template <class T>
HOURGLASS_HOST_DEVICE inline SwigluGradient<T> swiglu_gradient(T gate, T up, T dy) {
  const T s = sigmoid(gate);
  return {dy * up * s * (T(1) + gate * (T(1) - s)), dy * gate * s};
}

// One pair of a rotary embedding (Su et al., arXiv 2104.09864) turned by an angle; the gradient turns it back.
template <class T>
HOURGLASS_HOST_DEVICE inline void rotate(T& first, T& second, T cosine, T sine) {
  const T x = first, y = second;
  first = x * cosine - y * sine;
  second = x * sine + y * cosine;
}

// AdamW (Loshchilov and Hutter, arXiv 1711.05101), with the bias corrections 1/(1 - beta^t) precomputed.
struct AdamW {
  float learning_rate = 2.2e-4f, beta1 = 0.9f, beta2 = 0.95f, epsilon = 1e-8f, weight_decay = 0.1f;
  float correction1 = 1.0f, correction2 = 1.0f;
};
HOURGLASS_HOST_DEVICE inline float adamw_update(const AdamW& o, float weight, float gradient, float& m, float& v) {
  m = o.beta1 * m + (1.0f - o.beta1) * gradient;
  v = o.beta2 * v + (1.0f - o.beta2) * gradient * gradient;
  const float step = m * o.correction1 / (sqrtf(v * o.correction2) + o.epsilon);
  return weight - o.learning_rate * (step + o.weight_decay * weight);
}

}  // namespace hourglass::kernels
