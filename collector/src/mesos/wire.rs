//! The messages that an agent checkpoints, with the fields that are needed. Texts are bytes: Mesos
//! does not see to it that they are UTF-8.

/// Any id: framework, executor, task, agent.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Id {
    #[prost(bytes = "vec", tag = "1")]
    pub value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ContainerId {
    #[prost(bytes = "vec", tag = "1")]
    pub value: Vec<u8>,
    #[prost(message, optional, boxed, tag = "2")]
    pub parent: Option<Box<ContainerId>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Label {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Labels {
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
}

/// `framework.info`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct FrameworkInfo {
    #[prost(bytes = "vec", tag = "1")]
    pub user: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub name: Vec<u8>,
    #[prost(bytes = "vec", tag = "8")]
    pub principal: Vec<u8>,
}

/// `executor.info`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ExecutorInfo {
    #[prost(bytes = "vec", tag = "10")]
    pub source: Vec<u8>,
    #[prost(message, optional, tag = "14")]
    pub labels: Option<Labels>,
    /// 1 is the default executor, whose tasks have containers of their own.
    #[prost(int32, tag = "15")]
    pub kind: i32,
}

/// `task.info`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Task {
    #[prost(bytes = "vec", tag = "1")]
    pub name: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    pub id: Option<Id>,
    #[prost(message, optional, tag = "11")]
    pub labels: Option<Labels>,
    #[prost(bytes = "vec", tag = "14")]
    pub user: Vec<u8>,
}

/// One record of `task.updates`: an update, or its acknowledgement.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StatusUpdateRecord {
    #[prost(message, optional, tag = "2")]
    pub update: Option<StatusUpdate>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StatusUpdate {
    #[prost(message, optional, tag = "4")]
    pub status: Option<TaskStatus>,
    #[prost(double, tag = "5")]
    pub timestamp: f64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TaskStatus {
    #[prost(message, optional, tag = "1")]
    pub task_id: Option<Id>,
    #[prost(int32, tag = "2")]
    pub state: i32,
    #[prost(bytes = "vec", tag = "4")]
    pub message: Vec<u8>,
    #[prost(double, optional, tag = "6")]
    pub timestamp: Option<f64>,
    #[prost(bool, optional, tag = "8")]
    pub healthy: Option<bool>,
    #[prost(int32, optional, tag = "9")]
    pub source: Option<i32>,
    #[prost(int32, optional, tag = "10")]
    pub reason: Option<i32>,
    #[prost(message, optional, tag = "13")]
    pub container_status: Option<ContainerStatus>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ContainerStatus {
    #[prost(message, optional, tag = "4")]
    pub container_id: Option<ContainerId>,
}
