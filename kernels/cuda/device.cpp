#include "kernels/cuda/device.h"

#include <fmt/format.h>

#include <fstream>

#include "base/error.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/library.h"

namespace hourglass::kernels::cuda {

namespace {

[[noreturn]] void fail(const char* call, const std::string& words, const std::source_location& at) {
  throw base::Error(fmt::format("{}: {}", call, words), fmt::format("{}:{}", at.file_name(), at.line()),
                    "see docs/gpu.md");
}

// "NVIDIA H100 80GB HBM3" is what cluster files call "H100 SXM5"; other names lose only the maker.
std::string short_name(std::string name) {
  if (name.starts_with("NVIDIA ")) name = name.substr(7);
  for (const char* chip : {"H100", "H800", "H200", "H20"}) {
    if (name.starts_with(std::string(chip) + " ") || name == chip)
      return std::string(chip) + (name.find("PCIe") != std::string::npos  ? " PCIe"
                                  : name.find("NVL") != std::string::npos ? " NVL"
                                                                          : " SXM5");
  }
  return name;
}

// The driver's own version, which the runtime does not tell; "" if the kernel module does not either.
std::string driver_version() {
  std::ifstream file("/proc/driver/nvidia/version");
  std::string word;
  while (file >> word) {
    if (!word.empty() && word[0] >= '0' && word[0] <= '9' && word.find('.') != std::string::npos) return word;
  }
  return "";
}

std::string version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

int attribute(cudaDeviceAttr which) {
  int device = 0, value = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&value, which, device), "cudaDeviceGetAttribute");
  return value;
}

}  // namespace

void check(cudaError_t error, const char* call, std::source_location at) {
  if (error != cudaSuccess) fail(call, fmt::format("{} ({})", cudaGetErrorString(error), cudaGetErrorName(error)), at);
}
void check(cublasStatus_t status, const char* call, std::source_location at) {
  if (status != CUBLAS_STATUS_SUCCESS) fail(call, cublas().status_string(status), at);
}
void check_launch(const char* kernel, int error);  // launch.h declares it for nvcc alone
void check_launch(const char* kernel, int error) { check(static_cast<cudaError_t>(error), kernel); }

int device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

std::string no_device() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) return fmt::format("none ({})", cudaGetErrorString(error));
  if (count == 0) return "none that the driver sees";
  const int major = attribute(cudaDevAttrComputeCapabilityMajor), minor = attribute(cudaDevAttrComputeCapabilityMinor);
  // Built for sm_80, whose code also runs on 8.6 and 8.9, and for sm_90a.
  if (major != 8 && !(major == 9 && minor == 0))
    return fmt::format("one of compute capability {}.{}, while the kernels are built for 8.x and 9.0", major, minor);
  return "";
}

DeviceFacts device_facts(const char* who) {
  const std::string missing = no_device();
  if (!missing.empty())
    throw base::Error(fmt::format("{} needs a GPU, and there is {}", who, missing), "bench",
                      "run it on a machine with one");
  int device = 0, driver = 0, runtime = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
  check(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
  DeviceFacts d;
  d.name = short_name(properties.name);
  d.sms = properties.multiProcessorCount;
  d.major = properties.major, d.minor = properties.minor;
  d.memory_bytes = properties.totalGlobalMem;
  d.cache_bytes = static_cast<std::size_t>(properties.l2CacheSize);
  // The keys are those that hardware/measure/samples.h reads back.
  d.facts = {{"sms", std::to_string(d.sms)},
             {"memory", fmt::format("{}: {} MiB, L2 {} MiB, ECC {}", properties.name, d.memory_bytes >> 20,
                                    d.cache_bytes >> 20, properties.ECCEnabled != 0 ? "on" : "off")},
             {"driver", driver_version()},
             {"cuda", fmt::format("runtime {}, driver up to {}, compute capability {}.{}", version_text(runtime),
                                  version_text(driver), d.major, d.minor)}};
  if (d.facts["driver"].empty()) d.facts.erase("driver");
  return d;
}

void select_device(int index) { check(cudaSetDevice(index), "cudaSetDevice"); }
void synchronize(Stream stream) { check(cudaStreamSynchronize(stream), "cudaStreamSynchronize"); }

void* allocate(std::size_t bytes) {
  void* memory = nullptr;
  if (bytes == 0) return memory;
  const cudaError_t error = cudaMalloc(&memory, bytes);
  if (error == cudaErrorMemoryAllocation) cudaGetLastError();  // an answer, not a fault of the device
  check(error, "cudaMalloc");
  check(cudaMemset(memory, 0xff, bytes), "cudaMemset");
  check(cudaStreamSynchronize(nullptr), "cudaStreamSynchronize");  // our streams do not wait for the default one
  return memory;
}
void release(void* memory) {
  if (memory != nullptr) cudaFree(memory);  // destructors do not throw; a broken device shows at the next call
}
void copy_in(void* device, const void* host, std::size_t bytes) {
  if (bytes == 0) return;
  check(cudaMemcpy(device, host, bytes, cudaMemcpyHostToDevice), "cudaMemcpy to the device");
  check(cudaStreamSynchronize(nullptr), "cudaStreamSynchronize");  // it may return when the host's memory is free
}
void copy_out(void* host, const void* device, std::size_t bytes) {
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  if (bytes == 0) return;
  check(cudaMemcpy(host, device, bytes, cudaMemcpyDeviceToHost), "cudaMemcpy from the device");
}
void copy_out_rows(void* host, std::size_t row_bytes, const void* device, std::size_t pitch, std::size_t rows) {
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  check(cudaMemcpy2D(host, row_bytes, device, pitch, row_bytes, rows, cudaMemcpyDeviceToHost),
        "cudaMemcpy2D from the device");
}
void poison(void* device, std::size_t bytes, Stream stream) {
  check(cudaMemsetAsync(device, 0xff, bytes, stream), "cudaMemsetAsync");
}

OwnStream::OwnStream(bool urgent) {
  int least = 0, greatest = 0;
  check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "cudaDeviceGetStreamPriorityRange");
  check(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, urgent ? greatest : least),
        "cudaStreamCreateWithPriority");
}
OwnStream::~OwnStream() { cudaStreamDestroy(stream_); }

Event::Event() { check(cudaEventCreate(&event_), "cudaEventCreate"); }
Event::~Event() { cudaEventDestroy(event_); }
void Event::record(Stream stream) { check(cudaEventRecord(event_, stream), "cudaEventRecord"); }
void Event::wait() const { check(cudaEventSynchronize(event_), "cudaEventSynchronize"); }
void Event::hold(Stream stream) const { check(cudaStreamWaitEvent(stream, event_, 0), "cudaStreamWaitEvent"); }
double Event::seconds_since(const Event& start) const {
  float milliseconds = 0.0f;
  check(cudaEventElapsedTime(&milliseconds, start.event_, event_), "cudaEventElapsedTime");
  return static_cast<double>(milliseconds) * 1e-3;
}

}  // namespace hourglass::kernels::cuda
