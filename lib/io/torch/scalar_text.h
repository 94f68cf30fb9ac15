// Long integers of a pickle, and scalars in Python's notation. Private to lib/io.
#pragma once

#include <string>

#include "io/torch/pickle.h"

namespace dcl {

/// "400", "True", "None", "1e-06", "torch.float32"; a text as it is. Nothing for other kinds.
std::optional<std::string> scalar_text(const PickleValue& value);

/// "(0.9, 0.999)", "['a', 'b']" for a tuple, list or set of scalars; nothing when something else is among them. Ends
/// soon after `most` bytes: items may be shared, so that a short pickle could ask for a text without end.
std::optional<std::string> sequence_text(const PickleDocument& document, const PickleValue& sequence, size_t most);

/// The integer of these bytes in two's complement, lowest first; its decimal digits where 64 bits do not hold it.
PickleValue long_integer(std::string bytes);

}  // namespace dcl
