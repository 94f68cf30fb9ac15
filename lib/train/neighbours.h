// The bank rows with the largest inner product with a query, exactly and in pieces, so that memory does not grow with
// the bank.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/backend.h"
#include "core/buffer.h"

namespace dcl {

class NeighbourSearch {
 public:
  /// Queries of one search.
  static constexpr int64_t kMaxQueries = 256;

  /// bank f32 [rows, dim], rows >= 1, and optionally bias f32 [rows], which is added to the products with each bank
  /// row: in memory of `backend`, all outliving this. k >= 1; at most the size of the bank is used.
  NeighbourSearch(Backend& backend, ConstTensorRef bank, int64_t k, ConstTensorRef bias = {});

  /// Of queries f32 [1..kMaxQueries, dim] in the backend's memory.
  void search(ConstTensorRef queries);

  int64_t k() const { return k_; }
  /// Of a query of the last search: the k() largest products, descending, and their bank rows; equal products by
  /// smaller row first. Valid until the next search.
  std::span<const float> products(int64_t query) const { return best_.products_of(query, k_); }
  std::span<const int32_t> bank_rows(int64_t query) const { return best_.rows_of(query, k_); }

 private:
  struct Lists {
    std::vector<float> product;  ///< [queries, width], each descending
    std::vector<int32_t> row;

    std::span<const float> products_of(int64_t query, int64_t width) const {
      return std::span(product).subspan(static_cast<size_t>(query * width), static_cast<size_t>(width));
    }
    std::span<const int32_t> rows_of(int64_t query, int64_t width) const {
      return std::span(row).subspan(static_cast<size_t>(query * width), static_cast<size_t>(width));
    }
  };
  void merge(int64_t query, int64_t bank_begin, int64_t found);

  Backend& backend_;
  ConstTensorRef bank_, bias_;
  int64_t k_;
  Buffer products_, values_, indices_;
  Lists best_, piece_;
  std::vector<float> merged_product_;
  std::vector<int32_t> merged_row_;
  std::vector<int64_t> found_;  ///< neighbours in best_, per query
};

}  // namespace dcl
