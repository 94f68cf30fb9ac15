// Pixel operators written from the C sources of Pillow (Resample.c, Blend.c, Convert.c, ImageEnhance) and OpenCV
// (GaussianBlur, 8 bit), one pixel at a time. Shares nothing with lib/math.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

namespace dcl::test {

struct Picture {
  int h = 0, w = 0;
  std::vector<uint8_t> bytes;  ///< HWC, 3 channels

  Picture(int height, int width) : h(height), w(width), bytes(static_cast<size_t>(3) * height * width) {}
  uint8_t& at(int y, int x, int c) { return bytes[static_cast<size_t>((y * w + x) * 3 + c)]; }
  uint8_t at(int y, int x, int c) const { return bytes[static_cast<size_t>((y * w + x) * 3 + c)]; }
};

/// Calls make(y, x, c) for every byte of an h x w picture.
template <class Make>
Picture picture_of(int h, int w, Make&& make) {
  Picture out(h, w);
  for (int y = 0; y < h; ++y)
    for (int x = 0; x < w; ++x)
      for (int c = 0; c < 3; ++c) out.at(y, x, c) = static_cast<uint8_t>(make(y, x, c));
  return out;
}

inline Picture oracle_crop(const Picture& in, int top, int left, int h, int w) {
  return picture_of(h, w, [&](int y, int x, int c) { return in.at(top + y, left + x, c); });
}

inline Picture oracle_flip(const Picture& in) {
  return picture_of(in.h, in.w, [&](int y, int x, int c) { return in.at(y, in.w - 1 - x, c); });
}

struct PillowCoefficients {
  int first = 0;
  std::vector<int> fixed;
};

/// precompute_coeffs and normalize_coeffs_8bpc with the bilinear filter, box (0, in).
inline std::vector<PillowCoefficients> pillow_coefficients(int in, int out) {
  std::vector<PillowCoefficients> all;
  double filterscale = static_cast<double>(in) / out;
  const double scale = filterscale;
  if (filterscale < 1.0) filterscale = 1.0;
  const double support = 1.0 * filterscale;
  for (int xx = 0; xx < out; ++xx) {
    const double center = 0.0 + (xx + 0.5) * scale;
    const double ss = 1.0 / filterscale;
    int xmin = static_cast<int>(center - support + 0.5);
    if (xmin < 0) xmin = 0;
    int xmax = static_cast<int>(center + support + 0.5);
    if (xmax > in) xmax = in;
    xmax -= xmin;
    std::vector<double> k;
    double ww = 0.0;
    for (int x = 0; x < xmax; ++x) {
      const double position = std::abs((x + xmin - center + 0.5) * ss);
      k.push_back(position < 1.0 ? 1.0 - position : 0.0);
      ww += k.back();
    }
    PillowCoefficients coefficients{xmin, {}};
    for (double& weight : k) {
      if (ww != 0.0) weight /= ww;
      coefficients.fixed.push_back(static_cast<int>(0.5 + weight * (1 << 22)));
    }
    all.push_back(coefficients);
  }
  return all;
}

inline int pillow_clip8(int64_t value) { return static_cast<int>(std::clamp<int64_t>(value >> 22, 0, 255)); }

/// Horizontal pass, rounded, then vertical pass; a pass is skipped when its extent stays.
inline Picture oracle_resize(const Picture& in, int h, int w) {
  Picture wide = in;
  if (w != in.w) {
    const auto coefficients = pillow_coefficients(in.w, w);
    wide = picture_of(in.h, w, [&](int y, int x, int c) {
      const auto& k = coefficients[static_cast<size_t>(x)];
      int64_t sum = 1 << 21;
      for (size_t i = 0; i < k.fixed.size(); ++i)
        sum += in.at(y, k.first + static_cast<int>(i), c) * int64_t{k.fixed[i]};
      return pillow_clip8(sum);
    });
  }
  if (h == in.h) return wide;
  const auto coefficients = pillow_coefficients(in.h, h);
  return picture_of(h, w, [&](int y, int x, int c) {
    const auto& k = coefficients[static_cast<size_t>(y)];
    int64_t sum = 1 << 21;
    for (size_t i = 0; i < k.fixed.size(); ++i)
      sum += wide.at(k.first + static_cast<int>(i), x, c) * int64_t{k.fixed[i]};
    return pillow_clip8(sum);
  });
}

/// ImagingBlend of one byte; `first` is the degenerate image.
inline int pillow_blend(int first, int second, float alpha) {
  if (alpha == 0.0f) return first;
  if (alpha == 1.0f) return second;
  const float difference = static_cast<float>(second - first);
  const float step = alpha * difference;
  const float temp = static_cast<float>(first) + step;
  if (alpha >= 0 && alpha <= 1.0f) return static_cast<uint8_t>(temp);
  if (temp <= 0.0f) return 0;
  return temp >= 255.0f ? 255 : static_cast<uint8_t>(temp);
}

inline int pillow_luma(int r, int g, int b, bool rounded) {
  return (r * 19595 + g * 38470 + b * 7471 + (rounded ? 0x8000 : 0)) >> 16;
}
inline int pillow_luma(const Picture& in, int y, int x, bool rounded) {
  return pillow_luma(in.at(y, x, 0), in.at(y, x, 1), in.at(y, x, 2), rounded);
}

inline Picture oracle_brightness(const Picture& in, float factor) {
  return picture_of(in.h, in.w, [&](int y, int x, int c) { return pillow_blend(0, in.at(y, x, c), factor); });
}

inline Picture oracle_contrast(const Picture& in, float factor, bool rounded) {
  std::array<double, 256> histogram{};
  for (int y = 0; y < in.h; ++y)
    for (int x = 0; x < in.w; ++x) histogram[static_cast<size_t>(pillow_luma(in, y, x, rounded))] += 1;
  double sum = 0;
  for (size_t level = 0; level < 256; ++level) sum += static_cast<double>(level) * histogram[level];
  const int mean = static_cast<int>(sum / (static_cast<double>(in.h) * in.w) + 0.5);
  return picture_of(in.h, in.w, [&](int y, int x, int c) { return pillow_blend(mean, in.at(y, x, c), factor); });
}

inline Picture oracle_saturation(const Picture& in, float factor, bool rounded) {
  return picture_of(in.h, in.w, [&](int y, int x, int c) {
    return pillow_blend(pillow_luma(in, y, x, rounded), in.at(y, x, c), factor);
  });
}

inline Picture oracle_gray(const Picture& in, bool rounded) {
  return picture_of(in.h, in.w, [&](int y, int x, int) { return pillow_luma(in, y, x, rounded); });
}

using Triple = std::array<uint8_t, 3>;

inline Triple pillow_rgb_to_hsv(Triple in) {
  const int r = in[0], g = in[1], b = in[2];
  const int maxc = std::max({r, g, b}), minc = std::min({r, g, b});
  if (minc == maxc) return {0, 0, static_cast<uint8_t>(maxc)};
  const float cr = static_cast<float>(maxc - minc);
  const float s = cr / static_cast<float>(maxc);
  const float rc = static_cast<float>(maxc - r) / cr;
  const float gc = static_cast<float>(maxc - g) / cr;
  const float bc = static_cast<float>(maxc - b) / cr;
  float h;
  if (r == maxc) {
    h = bc - gc;
  } else if (g == maxc) {
    h = static_cast<float>(2.0 + rc - bc);
  } else {
    h = static_cast<float>(4.0 + gc - rc);
  }
  h = static_cast<float>(std::fmod(h / 6.0 + 1.0, 1.0));
  return {static_cast<uint8_t>(std::clamp(static_cast<int>(h * 255.0), 0, 255)),
          static_cast<uint8_t>(std::clamp(static_cast<int>(s * 255.0), 0, 255)), static_cast<uint8_t>(maxc)};
}

inline Triple pillow_hsv_to_rgb(Triple in) {
  const uint8_t h = in[0], s = in[1], v = in[2];
  if (s == 0) return {v, v, v};
  const int i = static_cast<int>(std::floor(static_cast<float>(h) * 6.0 / 255.0));
  const float f = static_cast<float>(static_cast<float>(h) * 6.0 / 255.0 - static_cast<float>(i));
  const float fs = static_cast<float>(static_cast<float>(s) / 255.0);
  const auto byte = [](double value) {
    return static_cast<uint8_t>(std::clamp(static_cast<int>(std::round(value)), 0, 255));
  };
  const uint8_t p = byte(static_cast<float>(v) * (1.0 - fs));
  const uint8_t q = byte(static_cast<float>(v) * (1.0 - fs * f));
  const uint8_t t = byte(static_cast<float>(v) * (1.0 - fs * (1.0 - f)));
  switch (i % 6) {
    case 0:
      return {v, t, p};
    case 1:
      return {q, v, p};
    case 2:
      return {p, v, t};
    case 3:
      return {p, q, v};
    case 4:
      return {t, p, v};
    default:
      return {v, p, q};
  }
}

inline Triple oracle_hue(Triple in, int shift) {
  Triple hsv = pillow_rgb_to_hsv(in);
  hsv[0] = static_cast<uint8_t>(hsv[0] + shift);
  return pillow_hsv_to_rgb(hsv);
}

inline Picture oracle_hue(const Picture& in, int shift) {
  return picture_of(in.h, in.w, [&](int y, int x, int c) {
    return oracle_hue(Triple{in.at(y, x, 0), in.at(y, x, 1), in.at(y, x, 2)}, shift)[static_cast<size_t>(c)];
  });
}

/// cv::borderInterpolate with BORDER_REFLECT_101.
inline int opencv_reflect_101(int at, int extent) {
  if (extent == 1) return 0;
  while (at < 0 || at >= extent) at = at < 0 ? -at : extent - 1 - (at - extent) - 1;
  return at;
}

/// One two-dimensional sum in 1/65536, rounded once. side: weights in 1/256 by distance 1, 2, ...
inline Picture oracle_blur(const Picture& in, const std::vector<int>& side) {
  const int radius = static_cast<int>(side.size());
  int center = 256;
  for (const int weight : side) center -= 2 * weight;
  const auto weight_at = [&](int d) { return d == 0 ? center : side[static_cast<size_t>(std::abs(d) - 1)]; };
  return picture_of(in.h, in.w, [&](int y, int x, int c) {
    int64_t sum = 32768;
    for (int dy = -radius; dy <= radius; ++dy)
      for (int dx = -radius; dx <= radius; ++dx)
        sum += int64_t{weight_at(dy)} * weight_at(dx) *
               in.at(opencv_reflect_101(y + dy, in.h), opencv_reflect_101(x + dx, in.w), c);
    return static_cast<int>(sum >> 16);
  });
}

}  // namespace dcl::test
