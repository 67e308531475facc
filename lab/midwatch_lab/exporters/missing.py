"""Series that the rules of kube-prometheus read and the lab does not have, and why: it has no true value for them."""

from typing import Final

_NO_CGROUP: Final = "a container of the lab is a group of processes and no cgroup, which alone counts it"
_NO_LIST: Final = "nothing lists or watches: the store tells of each write"
_NO_CERTIFICATES: Final = "the lab's kubelets have no certificates"
_NO_VOLUMES: Final = "volumes are objects alone: nothing is mounted"
_NO_AGGREGATION: Final = "no APIService: nothing is aggregated"
_NO_LOOP: Final = "no such loop: pods are told of by the store, and by their processes"
_NO_CLOCK: Final = "the kernel's clock discipline is not read"
_NO_RAID: Final = "arrays of disks are not read"

MISSING: Final = {
    "aggregator_unavailable_apiservice": _NO_AGGREGATION,
    "aggregator_unavailable_apiservice_total": _NO_AGGREGATION,
    "apiserver_client_certificate_expiration_seconds_bucket": "clients of the lab come with tokens, not certificates",
    "apiserver_client_certificate_expiration_seconds_count": "clients of the lab come with tokens, not certificates",
    "apiserver_request_slo_duration_seconds_bucket": "its name until Kubernetes 1.26; now apiserver_request_sli_…",
    "apiserver_request_slo_duration_seconds_count": "its name until Kubernetes 1.26; now apiserver_request_sli_…",
    "apiserver_request_terminations_total": "the lab never ends a request for lack of room",
    "container_memory_cache": _NO_CGROUP,
    "kube_state_metrics_list_total": _NO_LIST,
    "kube_state_metrics_shard_ordinal": "no shards",
    "kube_state_metrics_total_shards": "no shards",
    "kube_state_metrics_watch_total": _NO_LIST,
    "kubelet_certificate_manager_client_expiration_renew_errors": _NO_CERTIFICATES,
    "kubelet_certificate_manager_client_ttl_seconds": _NO_CERTIFICATES,
    "kubelet_certificate_manager_server_ttl_seconds": _NO_CERTIFICATES,
    "kubelet_evictions": "the lab's kubelets evict no pods; a cluster has the series once the first is evicted",
    "kubelet_pleg_relist_duration_seconds_bucket": _NO_LOOP,
    "kubelet_pod_worker_duration_seconds_bucket": _NO_LOOP,
    "kubelet_server_expiration_renew_errors": _NO_CERTIFICATES,
    "kubelet_volume_stats_available_bytes": _NO_VOLUMES,
    "kubelet_volume_stats_capacity_bytes": _NO_VOLUMES,
    "kubelet_volume_stats_inodes": _NO_VOLUMES,
    "kubelet_volume_stats_inodes_free": _NO_VOLUMES,
    "kubelet_volume_stats_inodes_used": _NO_VOLUMES,
    "kubelet_volume_stats_used_bytes": _NO_VOLUMES,
    "node_md_disks": _NO_RAID,
    "node_md_disks_required": _NO_RAID,
    "node_textfile_scrape_error": "no files are read for more series",
    "node_timex_maxerror_seconds": _NO_CLOCK,
    "node_timex_offset_seconds": _NO_CLOCK,
    "node_timex_sync_status": _NO_CLOCK,
    "rest_client_requests_total": "the lab's parts write into the store and are no clients of its API",
    "scheduler_binding_duration_seconds_bucket": "the lab's scheduler does not measure itself",
    "scheduler_e2e_scheduling_duration_seconds_bucket": "removed in Kubernetes 1.23",
    "scheduler_scheduling_algorithm_duration_seconds_bucket": "the lab's scheduler does not measure itself",
}
