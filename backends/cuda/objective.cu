#include "cuda/objective.h"
#include "cuda/objective_kept_gradient.h"
#include "cuda/objective_split.h"
#include "cuda/objective_tensor.h"
#include "cuda/supervised_term.h"
#include "cuda/vector.h"

namespace dcl::cuda {
namespace {

/// Blocks that the tiles of few anchors are cut into, so that they reach all multiprocessors: those at once on 132.
constexpr int64_t kPlainBlocks = 256, kTensorBlocks = 132 * TensorTile::kBlocks;

/// How the work over split columns is cut, and the workspace.
struct Layout {
  int64_t anchors, row_tiles, column_tiles, splits, tiles_per_split, row_blocks;
  RowSums* sums;        // [splits, anchors]
  RowWeights* weights;  // [anchors]
  double* reports;      // [row_blocks, kReports]
  double* extra;        // [views - 2, anchors]: e^x of the extra positives
  void* gradients;      // [splits, anchors, dim] in the type of the arithmetic

  Layout(const ObjectiveDesc& d, bool on_tensor_cores, Carver& memory)
      : anchors(2 * d.batch),
        row_tiles(ceil_div(anchors, on_tensor_cores ? TensorTile::kRows : PlainTile::kRows)),
        column_tiles(ceil_div(anchors, on_tensor_cores ? TensorTile::kColumns : PlainTile::kColumns)),
        splits(std::clamp((on_tensor_cores ? kTensorBlocks : kPlainBlocks) / row_tiles, int64_t{1}, column_tiles)),
        tiles_per_split(ceil_div(column_tiles, splits)),
        row_blocks(ceil_div(anchors, kRowsPerBlock)) {
    splits = ceil_div(column_tiles, tiles_per_split);  // none is empty
    sums = memory.take<RowSums>(splits * anchors);
    weights = memory.take<RowWeights>(anchors);
    reports = memory.take<double>(row_blocks * kReports);
    extra = memory.take<double>((d.views - 2) * anchors);
    const int64_t elements = splits * anchors * d.dim;
    gradients =
        computes_in_double(d) ? static_cast<void*>(memory.take<double>(elements)) : memory.take<float>(elements);
  }
};

template <class In, class T>
Anchors<In, T> anchors(const ObjectiveDesc& d, const ContrastiveSettings<double>& settings, ConstTensorRef z,
                       ConstTensorRef labels) {
  return {z.as<In>(),
          d.kind == ObjectiveKind::unbiased ? labels.as<int32_t>() : nullptr,
          static_cast<int32_t>(d.batch),
          d.dim,
          static_cast<T>(settings.inverse_temperature),
          static_cast<T>(settings.beta)};
}

unsigned extent(int64_t blocks) { return static_cast<unsigned>(blocks); }

/// The two passes over the similarity matrix.
template <class In, class T>
struct Passes {
  void (*sums)(Anchors<In, T>, int32_t tiles, int32_t tiles_per_split, RowSums*);
  void (*gradient)(Anchors<In, T>, int32_t tiles, int32_t tiles_per_split, const RowWeights*, T*);
  int threads;
  size_t shared_bytes;
  int64_t dims;  ///< of a block of the second
};

template <class In, class T>
void evaluate_split(Context& context, const ObjectiveDesc& d, ConstTensorRef z, ConstTensorRef labels, TensorRef result,
                    TensorRef dz, const Passes<In, T>& passes, const Layout& w) {
  const ContrastiveSettings<double> settings = contrastive_settings(d);
  const auto a = anchors<In, T>(d, settings, z, labels);
  const dim3 tiles(extent(w.row_tiles), extent(w.splits));
  auto* gradients = static_cast<T*>(w.gradients);
  launch(passes.sums, tiles, passes.threads, passes.shared_bytes, context.stream(), a, w.column_tiles,
         w.tiles_per_split, w.sums);
  launch(rows_kernel<In, T>, extent(w.row_blocks), kTileThreads, 0, context.stream(), a, settings, d.views, w.splits,
         w.sums, w.weights, w.extra, w.reports);
  if (dz)
    launch(passes.gradient, dim3(tiles.x, tiles.y, extent(ceil_div(d.dim, passes.dims))), passes.threads,
           passes.shared_bytes, context.stream(), a, w.column_tiles, w.tiles_per_split, w.weights, gradients);
  const int64_t blocks = dz ? ceil_div(d.z_shape().elements(), kTileThreads) : 0;
  launch(finish_kernel<In, T>, extent(blocks + 1), kTileThreads, 0, context.stream(), a, d.views, w.splits, w.weights,
         w.extra, gradients, w.reports, w.row_blocks, settings.anchor_weight, result.as<double>(),
         dz ? dz.as<In>() : nullptr);
}

template <bool Vectors>
constexpr Passes<float, float> kTensorPasses{tensor_sums_kernel<Vectors>, tensor_gradient_kernel<Vectors>,
                                             TensorTile::kThreads, TensorTile::kBytes, TensorTile::kDepth};
template <class In, class T>
constexpr Passes<In, T> kPlainPasses{sums_kernel<In, T>, gradient_kernel<In, T>, kTileThreads, 0, kChunk};

template <class In, class T>
void evaluate_kept(Context& context, const ObjectiveDesc& d, ConstTensorRef z, ConstTensorRef labels, TensorRef result,
                   TensorRef dz, const Kept<T>& w) {
  const ContrastiveSettings<double> settings = contrastive_settings(d);
  const auto a = anchors<In, T>(d, settings, z, labels);
  const int64_t positives = d.batch + (d.views - 2) * 2 * d.batch;
  const int64_t lines = ceil_div(ceil_div(positives, kTileThreads / kLanes), w.tiles);  // of blocks
  launch(keep_kernel<In, T>, dim3(extent(w.tiles), extent(w.apart() + lines)), kTileThreads, 0, context.stream(), a,
         d.views, settings.inverse_temperature, w);
  const auto gradient = settings.beta > 0 ? kept_gradient_kernel<true, In, T> : kept_gradient_kernel<false, In, T>;
  const dim3 parts = dz ? dim3(extent(w.tiles), extent(1 + ceil_div(d.dim, kKeptDims))) : dim3(1);
  launch(gradient, parts, kTileThreads, KeptWeights<T>::bytes(w.padded()), context.stream(), a, settings,
         contrastive_settings_as<T>(settings), d.views, w, result.as<double>(), dz ? dz.as<In>() : nullptr);
  if (dz && d.views > 2)
    launch(kept_extras_kernel<In, T>, extent(ceil_div((d.views - 2) * d.batch * d.dim, kTileThreads)), kTileThreads, 0,
           context.stream(), a, d.views, w, dz.as<In>());
}

template <class In, class T>
void evaluate(Context& context, const ObjectiveDesc& d, ConstTensorRef z, ConstTensorRef labels, TensorRef result,
              TensorRef dz, Carver& memory) {
  if (Kept<T>::fits(d, z.data)) return evaluate_kept<In, T>(context, d, z, labels, result, dz, Kept<T>(d, memory));
  if constexpr (std::is_same_v<T, float>)
    if (context.device().kernels >= kTensorCapability)
      return evaluate_split(context, d, z, labels, result, dz,
                            vectorizable<float>(d.dim, z.as<float>()) ? kTensorPasses<true> : kTensorPasses<false>,
                            Layout(d, true, memory));
  evaluate_split(context, d, z, labels, result, dz, kPlainPasses<In, T>, Layout(d, false, memory));
}

/// Of every way: which one it is depends on the device and on the address of z too.
template <class T>
size_t workspace(const ObjectiveDesc& d) {
  Carver kept(nullptr), plain(nullptr), tensor(nullptr);
  if (Kept<T>::fits(d, nullptr)) Kept<T>(d, kept);
  Layout(d, false, plain);
  if (std::is_same_v<T, float>) Layout(d, true, tensor);
  return std::max({kept.used(), plain.used(), tensor.used()});
}

}  // namespace

size_t objective_workspace(const ObjectiveDesc& d) {
  const size_t bytes = computes_in_double(d) ? workspace<double>(d) : workspace<float>(d);
  return d.kind == ObjectiveKind::supcon ? std::max(bytes, supervised_workspace(d)) : bytes;
}

void objective(Context& context, const ObjectiveDesc& d, ConstTensorRef z, ConstTensorRef labels, TensorRef result,
               TensorRef dz, Workspace workspace) {
  if (2 * d.batch > INT32_MAX - TensorTile::kRows) fail(ErrorKind::internal, "objective of more than 2^31 anchors");
  Carver memory(workspace.data);
  const auto evaluation = d.dtype == DType::f64   ? evaluate<double, double>
                          : computes_in_double(d) ? evaluate<float, double>
                                                  : evaluate<float, float>;
  evaluation(context, d, z, labels, result, dz, memory);
  if (d.kind == ObjectiveKind::supcon) add_supervised_term(context, d, z, labels, result, dz, workspace);
}

}  // namespace dcl::cuda
