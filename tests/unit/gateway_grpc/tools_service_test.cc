#include <gmock/gmock.h>

#include "services_fixture.h"

namespace carrel::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class ToolsServiceTest : public ServicesFixture {
 protected:
  grpc::Status Invoke(const v1::InvokeRequest& request, v1::Result* result = nullptr, std::string* logs = nullptr) {
    const auto context = Context();
    const auto reader = stub_->Invoke(context.get(), request);
    v1::InvokeEvent event;
    int results = 0;
    while (reader->Read(&event)) {
      EXPECT_EQ(results, 0) << "something after the result";
      if (logs != nullptr) *logs += event.logs();
      if (event.has_result()) {
        ++results;
        if (result != nullptr) *result = event.result();
      }
    }
    const grpc::Status status = reader->Finish();
    EXPECT_EQ(results, status.ok() ? 1 : 0);
    return status;
  }
  static v1::InvokeRequest Code(const std::string& arguments) {
    v1::InvokeRequest request;
    request.set_name("code_interpreter");
    request.set_container("c");
    request.set_arguments(arguments);
    return request;
  }
};

TEST_F(ToolsServiceTest, ListsTheToolsAsAModelTakesThem) {
  v1::ListToolsResponse reply;
  ASSERT_TRUE(stub_->ListTools(Context().get(), {}, &reply).ok());
  ASSERT_THAT(reply.tools(), SizeIs(2));
  EXPECT_EQ(reply.tools(0).name(), "code_interpreter");
  EXPECT_THAT(reply.tools(0).parameters_json(), HasSubstr("\"code\""));
  EXPECT_EQ(reply.tools(1).name(), "file_search");
}

TEST_F(ToolsServiceTest, AKeyIsNeeded) {
  v1::ListToolsResponse reply;
  grpc::ClientContext none;
  EXPECT_EQ(stub_->ListTools(&none, {}, &reply).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  const auto wrong = Context("sk-wrong-1234567890");
  const grpc::Status status = stub_->ListTools(wrong.get(), {}, &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(status.error_message().find("wrong-1234"), std::string::npos);
}

TEST_F(ToolsServiceTest, RunsCodeAndKeepsWhatItWrote) {
  v1::Result result;
  std::string logs;
  ASSERT_TRUE(Invoke(Code(R"({"code": "write"})"), &result, &logs).ok());
  EXPECT_EQ(logs, "printed write");
  EXPECT_TRUE(result.succeeded());
  EXPECT_EQ(result.logs(), "printed write");
  EXPECT_THAT(result.text(), HasSubstr("sandbox:/mnt/data/d/a.csv"));
  ASSERT_THAT(result.outputs(), SizeIs(1));
  ASSERT_THAT(result.images(), SizeIs(1));
  EXPECT_EQ(code_->last.project, ProjectId("p"));
  const auto written = files_->Get(ProjectId("p"), FileId(result.outputs(0).file_id()));
  ASSERT_TRUE(written.ok());
  EXPECT_EQ(written->filename, "a.csv");
  EXPECT_EQ(written->purpose, kPurposeOutput);
  EXPECT_EQ(result.outcome().kind(), interpreter::v1::COMPLETED);
}

// The same name is the same container, of one project; a container that Containers made can be named here.
TEST_F(ToolsServiceTest, ContainersAreFoundByName) {
  const auto made = containers_->Open(ProjectId("p"), {.name = "../any name"});
  ASSERT_TRUE(made.ok());
  auto request = Code(R"({"code": "x"})");
  request.set_container("../any name");
  ASSERT_TRUE(Invoke(request).ok());
  EXPECT_EQ(code_->last.container, made->container.id);
  request.set_container("another");
  ASSERT_TRUE(Invoke(request).ok());
  const ContainerId another = code_->last.container;
  EXPECT_NE(another, made->container.id);
  ASSERT_TRUE(Invoke(request).ok());
  EXPECT_EQ(code_->last.container, another);
  secret_ = keys_->Create("other", ProjectId("q"))->secret;
  ASSERT_TRUE(Invoke(request).ok());
  EXPECT_NE(code_->last.container, another) << "another project's container of the same name is another";
}

TEST_F(ToolsServiceTest, WhatTheModelDidWronglyIsAResult) {
  v1::Result result;
  ASSERT_TRUE(Invoke(Code("print(1)"), &result).ok());
  EXPECT_FALSE(result.succeeded());
  EXPECT_THAT(result.text(), HasSubstr("not a JSON object"));
  ASSERT_TRUE(Invoke(Code(R"({"code": "fail"})"), &result).ok());
  EXPECT_FALSE(result.succeeded());
  v1::InvokeRequest unknown;
  unknown.set_name("browser");
  ASSERT_TRUE(Invoke(unknown, &result).ok());
  EXPECT_THAT(result.text(), HasSubstr("there is no tool 'browser'"));
}

TEST_F(ToolsServiceTest, WhatTheCallerDidWronglyIsAnError) {
  auto request = Code(R"({"code": "x"})");
  request.set_container("");
  EXPECT_EQ(Invoke(request).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  request.set_container(std::string(257, 'x'));
  EXPECT_EQ(Invoke(request).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  request = Code(R"({"code": "x"})");
  request.add_file_ids("file-none");
  EXPECT_EQ(Invoke(request).error_code(), grpc::StatusCode::NOT_FOUND);
  v1::InvokeRequest search;
  search.set_name("file_search");
  search.set_arguments(R"({"query": "q"})");
  search.add_vector_store_ids("vs_none");
  EXPECT_EQ(Invoke(search).error_code(), grpc::StatusCode::NOT_FOUND);
  search.set_max_results(51);
  EXPECT_EQ(Invoke(search).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ToolsServiceTest, Searches) {
  const auto store = stores_->Create(ProjectId("p"), {});
  ASSERT_TRUE(store.ok());
  v1::InvokeRequest request;
  request.set_name("file_search");
  request.set_arguments(R"({"query": "days of leave"})");
  request.add_vector_store_ids(store->id.value);
  request.set_search_number(4);
  v1::Result result;
  ASSERT_TRUE(Invoke(request, &result).ok());
  ASSERT_THAT(result.passages(), SizeIs(1));
  EXPECT_EQ(result.passages(0).marker(), "【4:0†a.pdf】");
  EXPECT_EQ(result.passages(0).first_page(), 2U);
  EXPECT_THAT(result.text(), HasSubstr("【4:0†a.pdf】 page 2\npassage"));
  EXPECT_EQ(search_.last.max_results, 20);
  EXPECT_FALSE(search_.last.filter.has_value());
  EXPECT_EQ(result.search_times().elapsed_us(), 1500U);
  EXPECT_EQ(result.search_times().text_us(), 40U);
}

TEST_F(ToolsServiceTest, SearchesAsItIsAskedTo) {
  namespace pb = carrel::retrieval::v1;
  const auto store = stores_->Create(ProjectId("p"), {});
  ASSERT_TRUE(store.ok());
  v1::InvokeRequest request;
  request.set_name("file_search");
  request.set_arguments(R"({"query": "days of leave"})");
  request.add_vector_store_ids(store->id.value);
  request.mutable_ranking()->set_score_threshold(0.45);
  request.mutable_ranking()->set_text_weight(2);
  request.mutable_ranking()->set_rrf_k(10);
  pb::Compound& either = *request.mutable_filter()->mutable_compound();
  either.set_op(pb::Compound::OR);
  pb::Comparison& year = *either.add_filters()->mutable_comparison();
  year.set_key("year");
  year.set_op(pb::Comparison::GTE);
  year.add_values()->set_number(2020);
  ASSERT_TRUE(Invoke(request).ok());
  ASSERT_TRUE(search_.last.filter.has_value());
  EXPECT_EQ(search_.last.filter->op, SearchFilter::Op::kOr);
  EXPECT_EQ(search_.last.filter->filters.at(0).op, SearchFilter::Op::kGte);
  EXPECT_EQ(search_.last.filter->filters.at(0).values.at(0), AttributeValue(2020.0));
  EXPECT_EQ(search_.last.ranking.score_threshold, 0.45);
  EXPECT_EQ(search_.last.ranking.text_weight, 2);
  EXPECT_EQ(search_.last.ranking.rrf_k, 10);
  EXPECT_FALSE(search_.last.ranking.embedding_weight.has_value());

  year.clear_op();
  EXPECT_EQ(Invoke(request).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  pb::Filter deep = request.filter();
  for (int i = 0; i < 8; ++i) {
    pb::Filter outer;
    outer.mutable_compound()->set_op(pb::Compound::AND);
    *outer.mutable_compound()->add_filters() = deep;
    deep = outer;
  }
  *request.mutable_filter() = deep;
  EXPECT_EQ(Invoke(request).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ToolsServiceTest, CancellingInterruptsTheCode) {
  const auto context = Context();
  const auto reader = stub_->Invoke(context.get(), Code(R"({"code": "hang"})"));
  v1::InvokeEvent event;
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.logs(), "printed ");
  context->TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(code_->interrupted.WaitForNotificationWithTimeout(absl::Seconds(5)));
}

}  // namespace
}  // namespace carrel::gateway
