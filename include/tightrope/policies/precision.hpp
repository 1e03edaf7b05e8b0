#pragma once
namespace tightrope {

// Of the factors of a decoder's matrix products: sums are float32 in either.
enum class Precision { float32, bfloat16 };

Precision native_precision();  // bfloat16 where this processor multiplies it in hardware, else float32

}  // namespace tightrope
