#include <doctest/doctest.h>

#include <string>

#include "base/error.h"
#include "base/random.h"
#include "hardware/measure/samples.h"

using namespace hourglass;
using hardware::read_csv_table;
using hardware::Sample;

namespace {

std::string message_of(const std::string& text) {
  try {
    read_csv_table(text, "t.csv");
  } catch (const base::Error& error) {
    return error.what();
  }
  return "no error";
}

const std::string gemm =
    "framework,version,kernel_source,dtype,m,n,k,latency_us,TFLOPS_derived\n"
    "SGLang,0.5.14,sglang_torch_linear,bfloat16,4096,6144,1536,100.5,1\n"
    "TRTLLM,1.3,torch_flow,fp8,4096,6144,1536,80,1\n"
    "TRTLLM,1.3,torch_flow,fp8_block,4096,6144,1536,90,1\n"
    "VLLM,0.24,Deep,fp8_block,4096,6144,1536,70,1\n";

}  // namespace

TEST_CASE("a table of GEMMs: precision, recipe, and whether the time includes the cast") {
  const auto set = read_csv_table(gemm, "t.csv");
  REQUIRE(set.samples.size() == 4);
  CHECK(set.samples[0].op == "gemm");
  CHECK(set.samples[0].dtype == "bf16");
  CHECK(set.samples[0].seconds == doctest::Approx(100.5e-6));
  CHECK(set.samples[1].op == "quantized_linear");
  CHECK(set.samples[1].recipe == "tensor");
  CHECK(set.samples[2].recipe == "block");
  CHECK(set.samples[3].op == "gemm");
  CHECK(set.samples[3].at("k") == 1536.0);
}

TEST_CASE("DeepEP tables: both directions of a row; nodes are groups, of which a token uses four at most") {
  const auto normal = read_csv_table(
      "node_num,hidden_size,num_token,num_topk,num_experts,dispatch_sms,dispatch_transmit_us,dispatch_notify_us,"
      "combine_sms,"
      "combine_transmit_us,combine_notify_us\n8,7168,4096,8,256,20,1800,60,24,3600,60\n",
      "t.csv");
  REQUIRE(normal.samples.size() == 2);
  CHECK(normal.samples[0].op == "dispatch");
  CHECK(normal.samples[0].at("token_bytes") == 7392.0);
  CHECK(normal.samples[0].at("ranks") == 64.0);
  CHECK(normal.samples[0].at("groups_per_token") == 4.0);
  CHECK(normal.samples[0].sms == 20);
  CHECK(normal.samples[1].sms == 24);
  CHECK(normal.samples[1].at("token_bytes") == 14336.0);
  const auto low = read_csv_table(
      "node_num,hidden_size,num_token,num_topk,num_experts,combine_avg_t_us,dispatch_avg_t_us\n1,7168,128,8,256,72,"
      "40\n",
      "t.csv");
  CHECK(low.samples[0].at("token_bytes") == 7408.0);
  CHECK(low.samples[0].at("low_latency") == 2.0);
  CHECK(low.samples[0].seconds == doctest::Approx(40e-6));
}

TEST_CASE("InferSim's grouped GEMMs: the time of the nominal shape from the mfu, not the latency") {
  const auto set = read_csv_table(
      "num_experts,num_gpus,num_local_experts,topk,hidden_size,intermediate_size,batch_size_per_gpu,tokens_per_expert,"
      "up_proj_us,up_mfu,down_proj_us,down_mfu\n256,4,64,8,7168,2048,512,64,716,0.165931,376,0.155818\n",
      "t.csv");
  REQUIRE(set.samples.size() == 2);
  CHECK(set.samples[0].at("groups") == 64.0);
  CHECK(set.samples[0].at("n") == 4096.0);
  CHECK(set.samples[0].seconds == doctest::Approx(2.0 * 64 * 64 * 4096 * 7168 / (0.165931 * 1979e12)));
  CHECK(set.samples[1].at("k") == 2048.0);
}

TEST_CASE("unknown columns, inference modules, short rows and bad numbers are refused with the place") {
  CHECK(message_of("a,b\n1,2\n").find("has the columns of no known table") != std::string::npos);
  CHECK(message_of("dtype,kv_dtype,batch_size,kv_len,latency_us,mfu\nbf16,bf16,1,1024,28,0.1\n").find("decoding") !=
        std::string::npos);
  CHECK(message_of("m,k,n,latency_us,mfu\n1,2,3\n").find("t.csv line 2") != std::string::npos);
  CHECK(message_of("m,k,n,latency_us,mfu\n1,x,3,4,5\n").find("k is 'x'") != std::string::npos);
  CHECK(message_of("m,k,n,latency_us,mfu\n1,2,3,0,5\n").find("the time is 0 s") != std::string::npos);
  CHECK(message_of("m,k,n,latency_us,mfu\n1,\"2,3,4,5\n").find("quotes") != std::string::npos);
  CHECK(message_of("").find("holds no row") != std::string::npos);
  CHECK(message_of("m,k,n,latency_us,mfu\n").find("holds no row") != std::string::npos);
}

TEST_CASE("fuzz: a damaged table is read or refused, never anything else") {
  base::Random random(11);
  for (int i = 0; i < 2000; ++i) {
    std::string text = gemm;
    for (int j = 0; j < 3; ++j) {
      const auto at = static_cast<std::size_t>(random.uniform() * static_cast<double>(text.size()));
      text[at] = static_cast<char>(static_cast<unsigned char>(random.uniform() * 255.0));
    }
    try {
      for (const Sample& s : read_csv_table(text, "t.csv").samples) CHECK(hardware::sample_fault(s).empty());
    } catch (const base::Error&) {
    }
  }
}
