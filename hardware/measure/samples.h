#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

// Measurements of kernels and messages, in one format whatever tool took them.
namespace hourglass::hardware {

// One measured kernel or message. What `shape` must hold, by op (SI units, bytes and counts):
//   gemm              m n k             y[m, n] = x[m, k] w[k, n]
//   quantized_linear  m n k             the same with the BF16 input quantised first, both in the time
//   grouped_gemm      groups m n k      m rows in each of `groups`
//   attention         batch q_length kv_length heads kv_heads qk_dim v_dim causal backward
//   norm, rotary, activation, cast, permute, elementwise
//                     bytes             read and written together
//   router            tokens hidden experts
//                                       choosing the experts, and converting the input to FP32 (hidden 0: without)
//   all_reduce, all_gather, reduce_scatter, all_to_all
//                     bytes ranks ranks_per_node
//   send_recv         bytes same_node
//   dispatch, combine tokens hidden top_k experts groups groups_per_token ranks ranks_per_node token_bytes low_latency
//                                       (0: throughput kernels, 1: low latency over RDMA alone, 2: with NVLink)
struct Sample {
  std::string op;
  std::string dtype;
  std::string recipe;  // of FP8: "block" (1x128 and 128x128 scales) or "tensor"; "" otherwise
  std::map<std::string, double> shape;
  bool weight_gradient = false;  // a GEMM that adds to FP32 gradients from transposed operands
  double seconds = 0.0;          // median if known, else mean
  double spread = 0.0;           // relative standard deviation, 0: unknown
  std::int64_t runs = 0;         // 0: unknown
  std::int64_t sms = 0;          // SMs the kernel could use; 0: all
  std::string beside;            // what ran at the same time; "": nothing
  std::string timing;            // "call": timed around the call; "" or "kernel": the kernel's own time
  std::string name;              // of the kernel or layer, for residual tables; may be empty
  std::string source;            // if it differs from the set's

  double at(const std::string& key) const;  // Throws base::Error if the shape lacks it.
};

struct SampleSet {
  std::string path;
  std::string device;  // "H800 SXM5"
  std::string source;  // citation
  std::vector<Sample> samples;
  // What the device was, for a reader: sms, threads, clock_MHz, memory, driver, cuda, nccl, compiler, libraries.
  std::map<std::string, std::string> device_facts = {};
  base::Json provenance = {};  // how and when they were taken; null: not said
};

// The keys of `shape` that an op must have, in order. Throws base::Error for an unknown op.
const std::vector<std::string>& shape_keys(const std::string& op);

// What is wrong with a sample that did not come through read_samples: a missing or impossible value; "": nothing.
std::string sample_fault(const Sample& sample);

// {"schema": "1.0.0", "device": {"name", facts...}, "provenance": {...}, "source", "samples": [{"op", "dtype",
// shape..., "us", "weight_gradient", "spread", "runs", "sms", "beside", "name", "source"}]}; samples may share values through "common".
// Strict, as every reader of ours.
SampleSet read_samples(const base::Json& document, const std::string& file);
SampleSet load_samples(const std::string& path);
// The same, or, where the name ends in .csv, a table of published measurements, known by its columns (csv_tables.cpp).
// Throws base::Error for a CSV of other columns, or a row with a field missing or impossible.
SampleSet load_any_samples(const std::string& path);
SampleSet read_csv_table(std::string_view text, const std::string& path);
base::Json samples_json(const SampleSet& set);

}  // namespace hourglass::hardware
