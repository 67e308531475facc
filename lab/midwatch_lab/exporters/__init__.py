"""The series that a kube-prometheus stack has of a cluster, for the lab's own objects, pods and machine."""
