#include "nn/trunk.h"

namespace dcl {

TrunkWriter::TrunkWriter(Plan& plan, const ModelConfig& config, const NetworkShape& shape, bool keep_activations)
    : plan_(plan), spec_(resnet_spec(config)), shape_(shape), keep_activations_(keep_activations) {}

// ---- Forward -------------------------------------------------------------------------------------------------------

void TrunkWriter::statistics(const BatchNormDesc& desc, const std::string& name, Operand x, Operand saved) {
  const Operand mean = plan_.parameter(name + ".running_mean"), var = plan_.parameter(name + ".running_var");
  if (shape_.norm == NormMode::batch)
    plan_.batch_norm_statistics(desc, x, saved, mean, var);
  else
    plan_.batch_norm_running(desc, mean, var, saved);
}

int TrunkWriter::add_unit(const ConvNormSpec& spec, Operand x, int source) {
  Unit unit;
  unit.names = spec;
  unit.conv = conv_desc(spec, x.shape, shape_.dtype);
  unit.norm = shape_.norm_desc(unit.conv.out_h() * unit.conv.out_w(), spec.out, shape_.dtype);
  unit.input = source < 0 || keep_activations_ ? x : Operand{};
  unit.source = source;
  unit.y = plan_.slot(unit.conv.y_shape(), shape_.dtype);
  unit.saved = plan_.slot(unit.norm.saved_shape(), DType::f32);
  plan_.conv_forward(unit.conv, x, plan_.filter(spec.conv + ".weight"), unit.y);
  statistics(unit.norm, spec.norm, unit.y.as(unit.norm.x_shape()), unit.saved);
  units_.push_back(unit);
  return static_cast<int>(units_.size()) - 1;
}

/// dx: of backward, or none.
Plan::Norm TrunkWriter::norm_of(const Unit& unit, Operand dx) const {
  const std::string weight = unit.names.norm + ".weight", bias = unit.names.norm + ".bias";
  const Shape rows = unit.norm.x_shape();
  Plan::Norm norm{unit.y.as(rows), unit.saved, plan_.parameter(weight), plan_.parameter(bias), {}, {}, {}};
  if (dx) norm.dx = dx.as(rows), norm.dgamma = plan_.gradient(weight), norm.dbeta = plan_.gradient(bias);
  return norm;
}

void TrunkWriter::apply(const Unit& unit, Operand residual, Operand y, Operand signs) {
  const Shape rows = unit.norm.x_shape();
  plan_.batch_norm_apply(unit.norm, norm_of(unit, {}), residual ? residual.as(rows) : residual, y.as(rows), signs);
}

Operand TrunkWriter::activation(int index) {
  const Unit& unit = units_[static_cast<size_t>(index)];
  const Operand y = shape_.backward ? plan_.slot(unit.y.shape, shape_.dtype) : unit.y;
  apply(unit, {}, y);
  return y;
}

Operand TrunkWriter::add_block(const BlockSpec& spec, Operand x, int source) {
  Block block;
  Operand residual = x, inner = x;
  int inner_source = source;
  if (spec.downsample) {
    block.downsample = add_unit(*spec.downsample, x, source);
    units_.back().norm.relu = false;
    BatchNormDesc added = units_.back().norm;
    added.relu = added.residual = true;
    block.paired = shape_.backward && plan_.backend().keeps_signs(added);
    if (!block.paired) residual = activation(block.downsample);
  }
  for (const ConvNormSpec& unit_spec : spec.main) {
    block.main.push_back(add_unit(unit_spec, inner, inner_source));
    if (block.main.size() == spec.main.size()) break;
    inner_source = block.main.back();
    inner = activation(inner_source);
  }
  Unit& last = units_.back();
  last.norm.residual = true;
  // The residual's memory takes the result unless backward needs it: the input of a block is an input of convolutions.
  const bool in_place = !block.paired && (spec.downsample || !shape_.backward);
  block.output = in_place ? residual : plan_.slot(last.y.shape, shape_.dtype);
  if (shape_.backward && plan_.backend().keeps_signs(last.norm))
    block.signs = plan_.slot(last.norm.signs_shape(), DType::u8);
  if (block.paired)
    plan_.batch_norm_pair_apply(last.norm,
                                {norm_of(last, {}), norm_of(units_[static_cast<size_t>(block.downsample)], {})},
                                block.output.as(last.norm.x_shape()), block.signs);
  else
    apply(last, residual, block.output, block.signs);
  blocks_.push_back(block);
  return block.output;
}

void TrunkWriter::forward(Operand images, Operand features) {
  plan_.round_filters(shape_.dtype);
  int source = add_unit(spec_.stem, images, -1);
  Operand x = activation(source);
  if (spec_.max_pool) {
    max_pool_ = stem_pool_desc(x.shape, shape_.dtype);
    const Operand pooled = plan_.slot(max_pool_.y_shape(), shape_.dtype);
    argmax_ = plan_.slot(max_pool_.y_shape(), DType::u8);
    plan_.max_pool_forward(max_pool_, x, pooled, argmax_);
    x = pooled;
    source = -1;
  }
  for (const BlockSpec& block : spec_.blocks) {
    x = add_block(block, x, source);
    source = -1;
  }
  average_pool_ = {.n = shape_.images(), .h = x.shape[1], .w = x.shape[2], .c = x.shape[3], .dtype = shape_.dtype};
  plan_.average_pool_forward(average_pool_, x, features);
}

// ---- Backward ------------------------------------------------------------------------------------------------------

Operand TrunkWriter::input_for_backward(const Unit& unit) { return unit.input ? unit.input : activation(unit.source); }

void TrunkWriter::norm_backward(const Unit& unit, Operand dy, Operand output, Operand dx, Operand dresidual) {
  const Shape rows = unit.norm.x_shape();
  const auto flat = [&](const Operand& operand) { return operand ? operand.as(rows) : operand; };
  plan_.batch_norm_backward(unit.norm, flat(dy), output.dtype == DType::u8 ? output : flat(output), norm_of(unit, dx),
                            flat(dresidual));
}

void TrunkWriter::filter_backward(const Unit& unit, Operand input, Operand dy) {
  plan_.conv_backward_filter(unit.conv, input, dy, plan_.gradient(unit.names.conv + ".weight"));
}

void TrunkWriter::data_backward(const Unit& unit, Operand dy, Operand dx, Accum accum) {
  plan_.conv_backward_data(unit.conv, dy, plan_.filter(unit.names.conv + ".weight"), dx, accum);
}

Operand TrunkWriter::block_backward(const Block& block, Operand dout) {
  const auto unit = [&](int index) -> const Unit& { return units_[static_cast<size_t>(index)]; };
  Operand d = plan_.slot(dout.shape, shape_.dtype);
  const Unit& last = unit(block.main.back());
  if (block.paired)  // dout is then the gradient of the downsampling convolution's output
    plan_.batch_norm_pair_backward(last.norm, dout.as(last.norm.x_shape()), block.signs,
                                   {norm_of(last, d), norm_of(unit(block.downsample), dout)});
  else  // dout is then the masked gradient of the skip path
    norm_backward(last, dout, block.signs ? block.signs : block.output, d, dout);
  for (size_t i = block.main.size() - 1; i > 0; --i) {
    const Unit& upper = unit(block.main[i]);
    // The filter gradient comes first: the recomputed activation is gone before the gradient of its size appears.
    filter_backward(upper, input_for_backward(upper), d);
    const Operand below = plan_.slot(upper.conv.x_shape(), shape_.dtype);
    data_backward(upper, d, below, Accum::overwrite);
    norm_backward(unit(block.main[i - 1]), below, {}, below, {});
    d = below;
  }
  const Unit& first = unit(block.main[0]);
  const Operand x = input_for_backward(first);
  filter_backward(first, x, d);
  if (block.downsample < 0) {
    data_backward(first, d, dout, Accum::add);
    return dout;
  }
  const Operand dx = plan_.slot(first.conv.x_shape(), shape_.dtype);
  data_backward(first, d, dx, Accum::overwrite);
  const Unit& downsample = unit(block.downsample);
  if (!block.paired) norm_backward(downsample, dout, {}, dout, {});
  filter_backward(downsample, x, dout);
  data_backward(downsample, dout, dx, Accum::add);
  return dx;
}

void TrunkWriter::stem_backward(Operand dy) {
  const Unit& stem = units_[0];
  Operand d = dy;
  if (spec_.max_pool) {
    d = plan_.slot(max_pool_.x_shape(), shape_.dtype);
    plan_.max_pool_backward(max_pool_, dy, argmax_, d);
  }
  norm_backward(stem, d, {}, d, {});
  filter_backward(stem, stem.input, d);  // nobody asks for the gradient of the images
}

void TrunkWriter::backward(Operand dfeatures) {
  Operand d = plan_.slot({average_pool_.n, average_pool_.h, average_pool_.w, average_pool_.c}, shape_.dtype);
  plan_.average_pool_backward(average_pool_, dfeatures, d);
  for (auto block = blocks_.rbegin(); block != blocks_.rend(); ++block) d = block_backward(*block, d);
  stem_backward(d);
  plan_.widen_filter_gradients();
}

}  // namespace dcl
