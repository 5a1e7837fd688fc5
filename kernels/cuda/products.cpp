#include "kernels/cuda/products.h"

#include <fmt/format.h>

#include <cmath>

#include "base/random.h"

namespace hourglass::kernels::cuda {

namespace {

ProductView view_of(const Operand& operand, bool inner_first, Index outer, Index inner) {
  return {operand.data, operand.element, inner_first, operand.scaling, operand.scales, outer, inner};
}

double value_of(const GemmProblem& problem, Index at) {
  std::uint32_t bits = 0;
  const std::size_t size = problem.out_element == Element::fp32 ? 4 : 2;
  copy_out(&bits, static_cast<const char*>(problem.out) + static_cast<std::size_t>(at) * size, size);
  return static_cast<double>(float_of(size == 2 ? bits << 16 : bits));
}

}  // namespace

std::string check_products(Stream stream, const GemmProblem& p, Index samples, std::uint64_t seed, double tolerance) {
  if (p.rows == 0) return "";
  base::Random random(seed);
  std::vector<std::int32_t> rows, columns;
  for (Index i = 0; i < samples; ++i) {
    rows.push_back(static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(p.rows))));
    columns.push_back(static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(p.columns))));
  }
  const DeviceArray<std::int32_t> rows_device(rows), columns_device(columns);
  const DeviceArray<double> out(samples);
  products(stream, out.get(), view_of(p.left, p.left.transposed, p.rows, p.inner),
           view_of(p.right, !p.right.transposed, p.columns, p.inner), rows_device.get(), columns_device.get(), samples);
  const std::vector<double> expected = out.values();
  double squares = 0.0;
  for (const double v : expected) squares += v * v;
  const double typical = std::sqrt(squares / static_cast<double>(samples));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double got = value_of(p, rows[i] * p.columns + columns[i]);
    const double error = std::abs(got - expected[i]) / (std::abs(expected[i]) + typical);
    if (!(error <= tolerance)) {
      return fmt::format(
          "entry ({}, {}) is {:.6g}, in double precision {:.6g}: off by {:.2g} of it and the typical entry", rows[i],
          columns[i], got, expected[i], error);
    }
  }
  return "";
}

}  // namespace hourglass::kernels::cuda
