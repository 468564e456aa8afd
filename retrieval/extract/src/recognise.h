// Character recognition: this process becomes tesseract.
#pragma once

#include "retrieval/wire.h"

namespace carrel::retrieval::extract {

// Does not return when it can be executed. The errno otherwise.
[[nodiscard]] int BecomeTesseract(const wire::Request& request, const wire::RecogniseOrder& order);

}  // namespace carrel::retrieval::extract
