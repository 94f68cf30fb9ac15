#include "train/neighbours.h"

#include <algorithm>
#include <string>

#include "core/rows.h"

namespace dcl {
namespace {

constexpr int64_t kBankPiece = 8192;

}  // namespace

NeighbourSearch::NeighbourSearch(Backend& backend, ConstTensorRef bank, int64_t k, ConstTensorRef bias)
    : backend_(backend), bank_(bank), bias_(bias), k_(k) {
  if (bank.shape.rank() != 2 || bank.shape[0] < 1 || bank.dtype != DType::f32)
    fail(ErrorKind::internal, "neighbours: bank is " + bank.shape.text() + ", expected f32 [rows, dim]");
  if (k < 1) fail(ErrorKind::internal, "neighbours: k is " + std::to_string(k));
  k_ = std::min(k, bank.shape[0]);
  const auto floats = [](int64_t count) { return static_cast<size_t>(count) * sizeof(float); };
  products_ = Buffer(backend, floats(kMaxQueries * std::min(kBankPiece, bank.shape[0])));
  values_ = Buffer(backend, floats(kMaxQueries * k_));
  indices_ = Buffer(backend, floats(kMaxQueries * k_));
  const auto entries = static_cast<size_t>(kMaxQueries * k_);
  for (Lists* lists : {&best_, &piece_}) lists->product.resize(entries), lists->row.resize(entries);
  merged_product_.resize(static_cast<size_t>(k_)), merged_row_.resize(static_cast<size_t>(k_));
  found_.resize(kMaxQueries);
}

void NeighbourSearch::search(ConstTensorRef queries) {
  const int64_t count = queries.shape[0], bank_rows = bank_.shape[0];
  std::fill(found_.begin(), found_.end(), 0);
  for (int64_t begin = 0; begin < bank_rows; begin += kBankPiece) {
    const int64_t width = std::min(kBankPiece, bank_rows - begin), k = std::min(k_, width);
    GemmDesc product{count, width, bank_.shape[1]};
    product.trans_b = true;
    const TensorRef products = products_.view({count, width}, DType::f32);
    const TensorRef values = values_.view({count, k}, DType::f32), indices = indices_.view({count, k}, DType::i32);
    backend_.gemm(product, queries, rows(bank_, begin, width), bias_ ? rows(bias_, begin, width) : bias_, products);
    backend_.top_k(products, values, indices);
    backend_.copy_out(piece_.product.data(), values);
    backend_.copy_out(piece_.row.data(), indices);
    for (int64_t query = 0; query < count; ++query) merge(query, begin, k);
  }
}

/// Joins what a piece of the bank gave with what earlier pieces gave; earlier rows win ties, as they have smaller
/// indices.
void NeighbourSearch::merge(int64_t query, int64_t bank_begin, int64_t found) {
  float* product = best_.product.data() + query * k_;
  int32_t* row = best_.row.data() + query * k_;
  const auto new_product = piece_.products_of(query, found);
  const auto new_row = piece_.rows_of(query, found);
  const int64_t old_count = found_[static_cast<size_t>(query)], total = std::min(k_, old_count + found);
  int64_t from_old = 0;
  size_t from_new = 0;
  for (size_t i = 0; i < static_cast<size_t>(total); ++i) {
    const bool old =
        from_old < old_count && (from_new >= new_product.size() || !(new_product[from_new] > product[from_old]));
    merged_product_[i] = old ? product[from_old] : new_product[from_new];
    merged_row_[i] = old ? row[from_old] : static_cast<int32_t>(bank_begin) + new_row[from_new];
    if (old)
      ++from_old;
    else
      ++from_new;
  }
  std::copy_n(merged_product_.begin(), total, product);
  std::copy_n(merged_row_.begin(), total, row);
  found_[static_cast<size_t>(query)] = total;
}

}  // namespace dcl
