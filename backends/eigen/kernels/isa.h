// Kernels are compiled several times, once per instruction set, each copy in its own namespace (DCL_ISA); the best one
// the processor supports is chosen at first use. Rules for files in this folder: only plain loops over pointers and
// always-inlined functions from lib/math (DCL_HD); no templates or inline functions of the standard library that might
// be emitted out of line, since the linker would keep one copy for all instruction sets.
#pragma once

namespace dcl::kernels {

enum class Isa { baseline, v3, v4 };  ///< x86-64 levels: any processor; AVX2 + FMA; AVX-512

/// The best level this processor has, not above $DCL_MAX_ISA (baseline, v3, v4).
Isa active_isa();
const char* name_of(Isa isa);

}  // namespace dcl::kernels

/// Declares table `name` of type `Type` in each level's namespace and defines dcl::kernels::name() that picks one.
/// Use once per table, in the .cc file that dispatches; the kernel file defines `const Type name##_table` in DCL_ISA.
// clang-format off
#ifdef DCL_X86_LEVELS
#define DCL_DISPATCH(Type, name)                                       \
  namespace dcl::kernels {                                             \
  namespace baseline { extern const Type name##_table; }               \
  namespace v3 { extern const Type name##_table; }                     \
  namespace v4 { extern const Type name##_table; }                     \
  const Type& name() {                                                 \
    switch (active_isa()) {                                            \
      case Isa::v4: return v4::name##_table;                           \
      case Isa::v3: return v3::name##_table;                           \
      default: return baseline::name##_table;                          \
    }                                                                  \
  }                                                                    \
  }
#else
#define DCL_DISPATCH(Type, name)                                       \
  namespace dcl::kernels {                                             \
  namespace baseline { extern const Type name##_table; }               \
  const Type& name() { return baseline::name##_table; }                \
  }
#endif
// clang-format on
