// The vectors alone, ours and others', the same ones and the same questions, one thread, ten neighbours.
#pragma once

#include <cstdint>
#include <string>

#include "report.h"

namespace carrel::bench {

// `directory` takes the vectors in a file for the others, chromadb and faiss-cpu (baselines.py).
void VectorsAlone(const std::string& directory, uint32_t passages, uint32_t questions, bool others, Report& report);

}  // namespace carrel::bench
