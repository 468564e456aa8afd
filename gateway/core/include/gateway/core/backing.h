// What the services of the core stand on.
#pragma once

#include "gateway/ports/clock.h"
#include "gateway/ports/file_store.h"
#include "gateway/ports/repository.h"
#include "gateway/ports/search_tool.h"

namespace carrel::gateway {

// Borrowed; everything outlives the services.
struct Backing {
  Repository& repository;
  FileStore& files;
  SearchTool& search;
  Clock& clock;
  Ids& ids;
};

}  // namespace carrel::gateway
