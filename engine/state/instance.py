"""Instances, as they were asked for and how far they got."""

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, deferred, mapped_column

from engine.state.base import Base, Long, Name, Resource


class Instance(Resource, Base):
    __tablename__ = "instance"
    prefix = "i"
    __table_args__ = (
        Index("ix_instance_reservation", "account", "region", "reservation_id", "id"),
        Index("ix_instance_state", "account", "region", "state"),
        Index("ix_instance_image", "image_id"),
        Index("ix_instance_vpc", "vpc_id"),
        Index("ix_instance_subnet", "subnet_id"),
        Index("ix_instance_private_ip", "account", "region", "private_ip"),
        Index("ix_instance_host", "host", "state"),
        Index("ix_instance_client_token", "account", "region", "client_token"),
    )
    reservation_id: Mapped[str] = mapped_column(String(40))
    launch_index: Mapped[int] = mapped_column(default=0)
    image_id: Mapped[str] = mapped_column(String(40))
    instance_type: Mapped[str] = mapped_column(String(32))
    architecture: Mapped[str] = mapped_column(String(16), default="x86_64")
    platform: Mapped[str] = mapped_column(String(16), default="")
    boot_mode: Mapped[str] = mapped_column(String(16), default="")
    root_device_name: Mapped[str] = mapped_column(String(32))

    state: Mapped[str] = mapped_column(String(16), default="pending")
    state_reason_code: Mapped[str] = mapped_column(String(64), default="")
    state_reason: Mapped[str] = mapped_column(Name, default="")
    transition_reason: Mapped[str] = mapped_column(Name, default="")
    launch_time: Mapped[str] = mapped_column(String(24))
    usage_time: Mapped[str] = mapped_column(String(24))
    ended: Mapped[str] = mapped_column(String(24), default="")
    """When it was terminated; a terminated instance is shown for an hour."""

    zone: Mapped[str] = mapped_column(String(32))
    host: Mapped[str] = mapped_column(String(64), default="")
    """The host whose capacity it holds; empty while it holds none."""
    tenancy: Mapped[str] = mapped_column(String(16), default="default")
    vcpus: Mapped[int]
    threads_per_core: Mapped[int] = mapped_column(default=1)
    memory_mib: Mapped[int]

    vpc_id: Mapped[str] = mapped_column(String(40))
    subnet_id: Mapped[str] = mapped_column(String(40))
    private_ip: Mapped[str] = mapped_column(String(45), default="")
    hostname_type: Mapped[str] = mapped_column(String(16), default="ip-name")
    dns_a_record: Mapped[bool] = mapped_column(default=False)
    dns_aaaa_record: Mapped[bool] = mapped_column(default=False)

    key_name: Mapped[str] = mapped_column(Name, default="")
    public_key: Mapped[str] = deferred(mapped_column(Long, default=""))
    """OpenSSH form of the launch key: the instance keeps it though the key pair may go."""
    user_data: Mapped[str] = deferred(mapped_column(Long, default=""))
    """Base64, as it was sent."""
    client_token: Mapped[str] = mapped_column(String(64), default="")

    disable_api_termination: Mapped[bool] = mapped_column(default=False)
    disable_api_stop: Mapped[bool] = mapped_column(default=False)
    shutdown_behavior: Mapped[str] = mapped_column(String(16), default="stop")
    monitoring: Mapped[bool] = mapped_column(default=False)
    ebs_optimized: Mapped[bool] = mapped_column(default=False)
    ena_support: Mapped[bool] = mapped_column(default=True)
    cpu_credits: Mapped[str] = mapped_column(String(16), default="")
    auto_recovery: Mapped[str] = mapped_column(String(16), default="default")

    http_tokens: Mapped[str] = mapped_column(String(16), default="optional")
    http_endpoint: Mapped[str] = mapped_column(String(16), default="enabled")
    http_hop_limit: Mapped[int] = mapped_column(default=1)
    http_ipv6: Mapped[str] = mapped_column(String(16), default="disabled")
    metadata_tags: Mapped[str] = mapped_column(String(16), default="disabled")


class ConsoleOutput(Base):
    """The last of what a machine printed, as the worker last saw it."""

    __tablename__ = "console_output"
    instance_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    mark: Mapped[int]
    text: Mapped[str] = mapped_column(Long)
    """Base64."""
    updated: Mapped[str] = mapped_column(String(24))
