#include "support/values.h"

#include <cmath>
#include <cstring>

#include "math/philox.h"

namespace dcl::test {
namespace {

/// Significand bits (with the hidden one) and smallest normal exponent of a binary format.
double round_to_binary(double value, int digits, int min_exponent, double largest) {
  if (!std::isfinite(value) || value == 0) return value;
  int exponent = 0;
  std::frexp(value, &exponent);  // |value| in [2^(exponent-1), 2^exponent)
  const double quantum = std::ldexp(1.0, std::max(exponent, min_exponent + 1) - digits);
  const double rounded = std::nearbyint(value / quantum) * quantum;
  return std::abs(rounded) > largest ? std::copysign(INFINITY, value) : rounded;
}

template <class T>
void put(std::vector<std::byte>& bytes, size_t i, T value) {
  std::memcpy(bytes.data() + i * sizeof(T), &value, sizeof(T));
}

uint16_t bf16_bits(double value) {
  const float exact = static_cast<float>(value);  // values are representable: the lower half is zero
  uint32_t bits;
  std::memcpy(&bits, &exact, sizeof bits);
  return static_cast<uint16_t>(bits >> 16);
}

double from_bf16_bits(uint16_t half) {
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <class T, class Convert>
std::vector<double> decode_as(const void* data, int64_t count, Convert&& convert) {
  std::vector<double> out(static_cast<size_t>(count));
  for (size_t i = 0; i < out.size(); ++i) {
    T element;
    std::memcpy(&element, static_cast<const std::byte*>(data) + i * sizeof(T), sizeof(T));
    out[i] = convert(element);
  }
  return out;
}

}  // namespace

double round_to(double value, DType type) {
  switch (type) {
    case DType::f32:
      return round_to_binary(value, 24, -126, 0x1.fffffep127);
    case DType::bf16:
      return round_to_binary(value, 8, -126, 0x1.fep127);
    case DType::f64:
      return value;
    case DType::u8:
    case DType::i32:
      return std::nearbyint(value);
  }
  return value;
}

double unit_roundoff(DType type) {
  switch (type) {
    case DType::f32:
      return 0x1p-24;
    case DType::bf16:
      return 0x1p-8;
    case DType::f64:
      return 0x1p-53;
    case DType::u8:
    case DType::i32:
      return 0;
  }
  return 0;
}

Values filled(Shape shape, DType dtype, Fill fill, uint32_t which) {
  RandomStream stream(20201022, RandomPurpose::test, static_cast<uint32_t>(fill), which);
  Values values{shape, dtype, std::vector<double>(static_cast<size_t>(shape.elements()))};
  for (double& value : values.v)
    value = fill == Fill::integers ? static_cast<double>(stream.next_u32() % 5) - 2.0
                                   : round_to(stream.next_u32() * 0x1p-31 - 1.0, dtype);
  return values;
}

Values constant(Shape shape, DType dtype, double value) {
  return {shape, dtype, std::vector<double>(static_cast<size_t>(shape.elements()), round_to(value, dtype))};
}

Values values_of(Shape shape, DType dtype, std::vector<double> entries) {
  for (double& value : entries) value = round_to(value, dtype);
  return {shape, dtype, std::move(entries)};
}

std::vector<std::byte> encode(const Values& values) {
  std::vector<std::byte> bytes(values.v.size() * size_of(values.dtype));
  for (size_t i = 0; i < values.v.size(); ++i) {
    const double value = values.v[i];
    switch (values.dtype) {
      case DType::f32:
        put(bytes, i, static_cast<float>(value));
        break;
      case DType::bf16:
        put(bytes, i, bf16_bits(value));
        break;
      case DType::f64:
        put(bytes, i, value);
        break;
      case DType::u8:
        put(bytes, i, static_cast<uint8_t>(value));
        break;
      case DType::i32:
        put(bytes, i, static_cast<int32_t>(value));
        break;
    }
  }
  return bytes;
}

std::vector<double> decode(const void* data, int64_t count, DType dtype) {
  switch (dtype) {
    case DType::f32:
      return decode_as<float>(data, count, [](float v) { return static_cast<double>(v); });
    case DType::bf16:
      return decode_as<uint16_t>(data, count, from_bf16_bits);
    case DType::f64:
      return decode_as<double>(data, count, [](double v) { return v; });
    case DType::u8:
      return decode_as<uint8_t>(data, count, [](uint8_t v) { return static_cast<double>(v); });
    case DType::i32:
      return decode_as<int32_t>(data, count, [](int32_t v) { return static_cast<double>(v); });
  }
  return {};
}

}  // namespace dcl::test
