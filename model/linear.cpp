// Shapes of the linear layers on one GPU. Column-parallel layers split `out` over the tensor group, row-parallel ones
// split `in` (Shoeybi et al. 2019); between them the sequence is split instead (Korthikanti et al. 2022).
#include "model/linear.h"

#include <algorithm>

namespace hourglass::model {

std::int64_t share(std::int64_t whole, std::int64_t parts) { return std::max<std::int64_t>(1, whole / parts); }

double bf16_bytes(std::int64_t rows, std::int64_t width) { return product(rows, width) * bf16_size; }

Shapes::Shapes(const LayerContext& c)
    : tensor(c.parallel.tensor),
      context(c.parallel.context),
      expert(c.parallel.expert),
      expert_tensor(c.parallel.expert_tensor),
      sequences(c.micro_batch.sequences),
      q_length(share(c.micro_batch.sequence_length, context)),
      kv_length(c.micro_batch.sequence_length),
      tokens(sequences * q_length),
      shard(share(tokens, tensor)),
      kv_rows(sequences * kv_length),
      hidden(c.model->hidden),
      precision(c.precision),
      fp8_block(c.precision == Precision::fp8_block),
      stored(fp8_block ? Dtype::e4m3 : Dtype::bf16) {}

double stored_size(const Shapes& s) {
  switch (s.precision) {
    case Precision::bf16:
      return bf16_size;
    case Precision::fp8_block:
      return 1.0 + 4.0 / 128.0;
    case Precision::fp8_tensor:
      return 1.0;
  }
  return bf16_size;
}

double weight_operands(const Linear& l, const Shapes& s) { return product(l.rows, l.in + l.out) * stored_size(s); }

Linear mtp_linear(const LayerContext& context) {
  const Shapes s(context);
  return {"mtp_proj", s.tokens, 2 * s.hidden, share(s.hidden, s.tensor)};
}

Linear head_linear(const LayerContext& context) {
  const Shapes s(context);
  return {"lm_head", s.tokens, s.hidden, share(context.model->vocabulary, s.tensor)};
}

void add_cast(Operators& list, const char* name, std::int64_t rows, std::int64_t width, Dtype from, Dtype to,
              bool transpose) {
  list.push_back({name, Cast{rows, width, from, to, transpose}});
}

void add_double_cast(Operators& list, const char* name, std::int64_t rows, std::int64_t width) {
  list.push_back({name, Cast{rows, width, Dtype::bf16, Dtype::e4m3, true, 2}});
}

Dtype operand_dtype(Precision precision) { return precision == Precision::bf16 ? Dtype::bf16 : Dtype::e4m3; }

void add_forward(Operators& list, const Linear& l, Precision precision, bool cast_input) {
  if (precision == Precision::fp8_block && cast_input) add_cast(list, l.name, l.rows, l.in, Dtype::bf16, Dtype::e4m3);
  if (precision == Precision::fp8_tensor) add_double_cast(list, l.name, l.rows, l.in);
  const Dtype input = operand_dtype(precision);
  if (l.routed)
    list.push_back({l.name, GroupedGemm{l.groups, l.rows, 0, l.out, l.in, false, input, Dtype::bf16, false}});
  else
    list.push_back({l.name, Gemm{l.rows, l.out, l.in, input, Dtype::bf16, false}});
}

void add_backward_input(Operators& list, const Linear& l, Precision precision) {
  const bool block = precision == Precision::fp8_block;
  if (precision == Precision::fp8_tensor) add_double_cast(list, l.name, l.rows, l.out);
  if (block) {
    add_cast(list, l.name, l.rows, l.out, Dtype::bf16, Dtype::e4m3);
    add_cast(list, l.name, l.groups * l.out, l.in, Dtype::e4m3, Dtype::e4m3, true);
  }
  const Dtype input = operand_dtype(precision);
  if (l.routed)
    list.push_back({l.name, GroupedGemm{l.groups, l.rows, 0, l.in, l.out, false, input, Dtype::bf16, false}});
  else
    list.push_back({l.name, Gemm{l.rows, l.in, l.out, input, Dtype::bf16, false}});
  // The operands of the weight gradient, quantised again along tokens while the BF16 gradient is still there.
  if (block) {
    add_cast(list, l.name, l.rows, l.in, Dtype::e4m3, Dtype::e4m3, true);
    add_cast(list, l.name, l.rows, l.out, Dtype::bf16, Dtype::e4m3, true);
  }
}

void add_backward_weight(Operators& list, const Linear& l, Precision precision) {
  const Dtype input = operand_dtype(precision);
  if (l.routed)
    list.push_back({l.name, GroupedGemm{l.groups, l.rows, l.out, l.in, 0, true, input, Dtype::fp32, true}});
  else
    list.push_back({l.name, Gemm{l.out, l.in, l.rows, input, Dtype::fp32, true}});
}

}  // namespace hourglass::model
