// carrel.retrieval.v1.Retrieval over the library: checks requests at the edge, translates, nothing else.
//
// Thread-safe. What is passed in must outlive it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "carrel/retrieval/v1/retrieval.grpc.pb.h"
#include "retrieval/embedder.h"
#include "retrieval/library.h"
#include "retrieval/page_painter.h"
#include "sandbox/jail.h"

namespace carrel::retrieval {

struct ServiceOptions {
  std::string version;
  // What the library reads with: Capabilities.reading_limits and document_bytes_max. Larger uploads are refused.
  ExtractionLimits reading;
  // Draws pages; null: RenderPage is UNIMPLEMENTED. Not owned.
  PagePainter* painter = nullptr;
  // "off", "on" or "missing": Capabilities.recognition.
  std::string recognition = "off";
  // At once; who comes then waits a little.
  uint32_t pictures_max = 2;
};

// `embedders`: those of the library, the first is the default. `jails` null: no jail, and GetCapabilities says so.
[[nodiscard]] std::unique_ptr<v1::Retrieval::Service> MakeRetrievalService(ServiceOptions options, Library& library,
                                                                           std::vector<Embedder*> embedders,
                                                                           const sandbox::JailMaker* jails);

}  // namespace carrel::retrieval
