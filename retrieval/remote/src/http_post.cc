#include "http_post.h"

#include <curl/curl.h>

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"

namespace carrel::retrieval {
namespace {

constexpr long kHeaderSeconds = 3600;  // of a Retry-After that is believed

struct FreeEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

struct Receiver {
  std::string body;
  size_t max = 0;
  bool too_long = false;
};

size_t OnBody(char* data, size_t one, size_t count, void* context) {
  auto& receiver = *static_cast<Receiver*>(context);
  if (receiver.body.size() + one * count > receiver.max) {
    receiver.too_long = true;
    return CURL_WRITEFUNC_ERROR;
  }
  receiver.body.append(data, one * count);
  return one * count;
}

// libcurl's global state: made before the first use, and left to the process's end.
void InitCurl() { static const CURLcode initialised [[maybe_unused]] = curl_global_init(CURL_GLOBAL_DEFAULT); }

}  // namespace

absl::StatusOr<HttpAnswer> Post(const HttpPost& post) {
  InitCurl();
  const std::unique_ptr<CURL, FreeEasy> easy(curl_easy_init());
  if (easy == nullptr) return absl::ResourceExhaustedError("libcurl has no memory");
  std::unique_ptr<curl_slist, FreeList> headers;
  const auto add_header = [&](const std::string& line) {
    curl_slist* const list = curl_slist_append(headers.get(), line.c_str());
    if (list == nullptr) return false;
    headers.release();
    headers.reset(list);
    return true;
  };
  // "Expect:" takes off libcurl's 100-continue, which costs a second where it is not understood.
  if (!add_header("content-type: application/json") || !add_header("Expect:") ||
      (!post.bearer.empty() && !add_header("authorization: Bearer " + post.bearer))) {
    return absl::ResourceExhaustedError("libcurl has no memory");
  }
  Receiver receiver{.max = post.answer_bytes_max};
  char error[CURL_ERROR_SIZE] = {};
  const auto set = [&](CURLoption option, auto value) {
    return curl_easy_setopt(easy.get(), option, value) == CURLE_OK;
  };
  const bool all = set(CURLOPT_URL, post.url.c_str()) && set(CURLOPT_PROTOCOLS_STR, "http,https") &&
                   set(CURLOPT_FOLLOWLOCATION, 0L) && set(CURLOPT_NOSIGNAL, 1L) &&
                   set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(post.body.size())) &&
                   set(CURLOPT_POSTFIELDS, post.body.c_str()) && set(CURLOPT_HTTPHEADER, headers.get()) &&
                   set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(absl::ToInt64Milliseconds(post.connect_max))) &&
                   set(CURLOPT_TIMEOUT_MS, static_cast<long>(absl::ToInt64Milliseconds(post.call_max))) &&
                   set(CURLOPT_WRITEFUNCTION, &OnBody) && set(CURLOPT_WRITEDATA, static_cast<void*>(&receiver)) &&
                   set(CURLOPT_ERRORBUFFER, static_cast<char*>(error)) &&
                   // The environment's proxies are not the configuration's.
                   set(CURLOPT_PROXY, post.proxy_url.c_str()) &&
                   (post.ca_file.empty() || set(CURLOPT_CAINFO, post.ca_file.c_str()));
  if (!all) return absl::InternalError("libcurl lacks an option");
  const CURLcode code = curl_easy_perform(easy.get());
  if (receiver.too_long) {
    return absl::FailedPreconditionError(
        absl::StrCat(post.url, " answered with more than ", post.answer_bytes_max, " bytes"));
  }
  if (code != CURLE_OK) {
    return absl::UnavailableError(
        absl::StrCat(post.url, ": ", error[0] != 0 ? static_cast<const char*>(error) : curl_easy_strerror(code)));
  }
  long status = 0;
  curl_off_t retry_seconds = 0;
  curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(easy.get(), CURLINFO_RETRY_AFTER, &retry_seconds);
  return HttpAnswer{.status = static_cast<int>(status),
                    .body = std::move(receiver.body),
                    .retry_after = absl::Seconds(std::clamp<curl_off_t>(retry_seconds, 0, kHeaderSeconds))};
}

}  // namespace carrel::retrieval
