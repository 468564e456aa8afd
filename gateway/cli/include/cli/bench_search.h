// carrel bench search: what reading documents in and searching them costs, over gRPC, as a user meets it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/console.h"
#include "cli/exit_code.h"
#include "cli/place.h"

namespace carrel::cli {

struct BenchSearchOptions {
  std::string server;  // "unix:PATH" or "HOST:PORT" of a carrel-retrieval; "": one of its own, in a temporary directory
  std::vector<uint32_t> sizes = {1'000, 4'000};    // passages of the stores that are searched, rising
  std::vector<double> passing = {0.5, 0.1, 0.01};  // parts of the documents that a filter lets pass
  std::vector<std::string> types = {"txt", "md", "csv", "html", "json", "pdf"};  // of generated documents
  uint32_t pages = 100;      // of each of them (a page has about 350 words)
  uint32_t questions = 200;  // of each kind of search
  std::string documents;     // a directory of documents to measure instead of generated ones; "": none
  std::string baselines;     // directory of chromadb and faiss-cpu to compare with; "": no comparison
};

// kOk; kInternal: a document was not read, or a call failed; kUnreachable: no server.
[[nodiscard]] ExitCode BenchSearch(const CommonOptions& common, const BenchSearchOptions& options, Console& console);

}  // namespace carrel::cli
